"""What a person sees: live progress, tables, the closing summary."""
