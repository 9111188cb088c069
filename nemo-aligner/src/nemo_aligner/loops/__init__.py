"""The two ways to align: offline, from pairs on disk; online, from the policy's own answers."""
