"""Text repaired: broken encodings, odd Unicode, stray controls and blanks."""
