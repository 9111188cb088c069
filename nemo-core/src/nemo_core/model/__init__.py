"""The native implementation of a decoder, in readable torch."""
