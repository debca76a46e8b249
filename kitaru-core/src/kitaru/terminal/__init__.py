"""Lines on the terminal in Kitaru's words: what flows here do (``events``), and what an engine logs (``rules``).

Importing this installs nothing. ``handler`` puts one handler on the root logger when the command line starts at a
terminal, and when a flow runs beside an engine that has one there; nothing else of ``logging`` is touched, and no
record is changed.
"""
