"""The parts a model plays: policy (learns), reference (stays), generator (samples), judge (scores)."""
