#!/bin/bash
# probe.sh MODEL [PORT [SECONDS]]: succeeds if the server answers a request of one row over gRPC, by
# default within 8 seconds.
#
# The threads of gRPC can all be lost while REST and the health service still answer: a server that
# batches loses one for each request without rows. The image has no client for gRPC, so this script
# writes the frames of HTTP/2 itself. The request is embed_text of "a". Any answer will do, also that
# there is no such model, which no restart would mend. RESOURCE_EXHAUSTED (8) is none: no thread is
# left. It cannot speak TLS: with TLS, take a tcpSocket probe.
export LC_ALL=C
model=${1:?a model} port=${2:-8500} end=$((SECONDS + ${3:-8}))

hex() { printf %s "$1" | od -An -v -tx1 | tr -d ' \n'; }
# A field of a protocol buffer or of a header: its tag, its length (below 128), its content.
field() { printf '%s%02x%s' "$1" $((${#2} / 2)) "$2"; }
# A frame: the length of its content, its type, its flags, its stream.
frame() { printf '%06x%s%s%08x%s' $((${#4} / 2)) "$1" "$2" "$3" "$4"; }

spec=$(field 0a "$(hex "$model")")$(field 1a "$(hex embed_text)")
tensor=0807$(field 12 12020801)$(field 42 "$(hex a)") # strings, shape [1], "a"
input=$(field 0a "$(hex text)")$(field 12 "$tensor")
request=$(field 0a "$spec")$(field 12 "$input")
headers=8386$(field 04 "$(hex /tensorflow.serving.PredictionService/Predict)") # POST, http
headers+=$(field 01 "$(hex localhost)")$(field 0f10 "$(hex application/grpc)")
headers+=$(field 00 "$(hex te)")$(field '' "$(hex trailers)")
sent=$(hex $'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')$(frame 04 00 0 '')$(frame 01 04 1 "$headers")
sent+=$(frame 00 01 1 "$(printf '00%08x%s' $((${#request} / 2)) "$request")")

exec 3<>"/dev/tcp/127.0.0.1/$port" || exit 1
printf %b "$(printf %s "$sent" | sed 's/../\\x&/g')" >&3
name=$(hex grpc-status) got=$(printf %032d 0)
# The status comes last: its name, the length of its number, the number in digits (30 to 39).
until [[ $got =~ $name(013.|023.3.) ]]; do
  ((left = end - SECONDS, left > 0)) && IFS= read -r -d '' -n 1 -t "$left" byte <&3 || exit 1
  printf -v byte %d "'$byte"
  printf -v got %s%02x "${got: -32}" $((byte & 255))
done
[[ ${BASH_REMATCH[1]} != 0138 ]]
