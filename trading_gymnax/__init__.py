"""Futures day-trading markets as gymnax environments."""
