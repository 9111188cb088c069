"""Byte-level BPE: learning one from documents, and turning text into token ids and back."""
