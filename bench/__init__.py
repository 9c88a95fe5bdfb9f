"""What an event costs. All figures are ratios of two things measured in turn in one run."""
