"""How a deploy compares and changes a host: sets of files, systemd units, packages; one fact command each."""
