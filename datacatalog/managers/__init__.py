"""Managers: several stores put together for one purpose."""
