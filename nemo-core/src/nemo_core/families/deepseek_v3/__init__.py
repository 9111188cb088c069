"""DeepSeek-V3 and R1 (DeepSeek 2024)."""
