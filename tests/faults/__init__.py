"""Faults on purpose: kills, servers that stop, full disks, while a consumer reads; and what broke, counted.

``make faults`` runs the long form, ``test_faults.py`` the short one. One file each for the world that is
broken (``world``), what is done in it (``acts``), where it can be broken (``points``), how (``breaking``),
who looks on (``reader``), what must hold of what was seen (``history``) and how it all goes (``campaign``).
"""
