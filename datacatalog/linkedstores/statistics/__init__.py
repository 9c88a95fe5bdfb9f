"""What happened to jobs, counted by hour, day and pipeline."""
