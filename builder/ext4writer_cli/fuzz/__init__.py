"""Campaigns: many images, and programs that look at them."""
