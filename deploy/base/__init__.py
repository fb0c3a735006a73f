"""The base that every host has: packages from the city's mirror, accounts, SSH, time, logs, firewall."""
