"""The HTTP front: an OpenAI- and NIM-compatible API, metrics and a chat page over one engine."""
