"""The state of the platform, in one SQL database: a module for each noun, functions of a connection.

Whoever calls them chooses the transaction: `database.read()` or `database.write()`.
"""
