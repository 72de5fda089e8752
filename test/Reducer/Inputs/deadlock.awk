# Lets device 4 wait for what device 5 makes of message 64 before it sends that
# message. Reads the programs twice.
NR == FNR {
  if (/recv_start from 5 message 72 /) { receive = $0; token = $1 }
  else if (token && !wait && $3 == "weir.wait" && $4 == token) wait = $0
  next
}
$0 == receive { seen = 1; next }
$0 == wait && seen && !done { done = 1; next }
/send_start .* to 5 message 64 / { print receive; print wait }
{ print }
