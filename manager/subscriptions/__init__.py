"""Telling others what has happened to jobs: who they are, what they are told, and when again."""
