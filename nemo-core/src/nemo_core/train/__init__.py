"""Training: one loop; objective, optimizer, schedule and data are parts handed to it."""
