"""SmolLM 3 (Hugging Face 2025)."""
