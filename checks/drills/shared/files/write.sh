# Receives a record every 100 ms, as the system's users would send them: a file each, named for the moment it was
# received (Unix time in milliseconds). It is told as kept when it and its name are on the disk (fsync).
# The moments lie 100 ms apart whatever the work takes: what it took is slept less. Late, it goes on from now.
folder=$1
mkdir -p "$folder"
due=$(date +%s%3N)
while :; do
    now=$(date +%s%3N)
    # No name that is gone a moment later: a backup that had listed it could not read it, and would be no success.
    printf '{"received": %s}\n' "$now" >"$folder/$now.json" && sync "$folder/$now.json" "$folder" || exit
    due=$((due + 100)) now=$(date +%s%3N)
    if [ "$due" -gt "$now" ]; then sleep "0.$(printf %03d $((due - now)))"; else due=$now; fi
done
