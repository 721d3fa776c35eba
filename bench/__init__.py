"""Measurements that are reported, never asserted: this is where speed and memory belong."""
