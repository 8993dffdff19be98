"""What to do: from the desired and the observed state to a plan. Pure."""
