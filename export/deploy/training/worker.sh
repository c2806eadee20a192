# One worker of an indexed Job: tells it by TF_CONFIG where all are, then runs the command given.
# Kubernetes sets JOB_COMPLETION_INDEX; WORKERS and SERVICE come from job.yaml.
set -eu
addresses=$(seq -s, -f "\"$SERVICE-%g.$SERVICE:2222\"" 0 $((WORKERS - 1)))
task="{\"type\": \"worker\", \"index\": $JOB_COMPLETION_INDEX}"
export TF_CONFIG="{\"cluster\": {\"worker\": [$addresses]}, \"task\": $task}"
exec "$@"
