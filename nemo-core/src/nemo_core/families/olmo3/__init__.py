"""OLMo 3 (OLMo team 2025)."""
