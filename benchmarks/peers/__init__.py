"""What others have, built as their own examples build it, to be timed beside ours."""
