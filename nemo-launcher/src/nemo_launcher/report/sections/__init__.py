"""The parts of the page: each module renders one concern, as a pure function from `Run` to markup."""
