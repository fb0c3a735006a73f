"""The lab: an inventory's hosts as systemd-nspawn machines on this one, wired as its links say."""
