"""Tests of the trainer; they know nothing of markets."""
