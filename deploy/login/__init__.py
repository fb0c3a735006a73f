"""Who may ask the daemons of monitoring: their certificates, their web.yml, and the logins of people and programs."""
