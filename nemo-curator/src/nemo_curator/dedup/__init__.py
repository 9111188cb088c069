"""Documents that say the same, exactly or nearly, and which of them stays."""
