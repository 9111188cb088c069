"""Ask a served model over its own API, from the outside, as any client would."""
