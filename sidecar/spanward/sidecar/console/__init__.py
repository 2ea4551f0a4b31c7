"""What the command line and the demo share: questions to a store, and how the answers look."""
