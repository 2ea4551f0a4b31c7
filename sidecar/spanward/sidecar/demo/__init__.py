"""The demo: the main job on real traffic, every claim verified. It is the project's acceptance run."""
