"""What the controller does by itself: its timers, for one city each."""
