# Receives a record every 100 ms, as the system's users would send them: a file each, whole or not there,
# named for the moment it was received (Unix time in milliseconds).
folder=$1
mkdir -p "$folder"
while :; do
    now=$(date +%s%3N)
    printf '{"received": %s}\n' "$now" >"$folder/.new" && mv "$folder/.new" "$folder/$now.json" || exit
    sleep 0.1
done
