"""OLMo 2 (OLMo team 2024)."""
