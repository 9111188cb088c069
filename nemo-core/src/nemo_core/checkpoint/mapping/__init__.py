"""How tensors of one layout become those of another: invertible parts, put together into rules and maps."""
