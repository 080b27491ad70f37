#!/bin/sh
# Brings the published repository to object storage: what is named before what names it, the timestamp last.
# Run it after each publish, or from a timer, one at a time. Tested by tests/tests/s3.rs.
#
#     s3.sh FOLDER BUCKET          such as: s3.sh /srv/isigurt/public lists-isigurt-example
#
# The account needs s3:ListBucket and s3:PutObject on the bucket. Objects are read by everybody, or by the CDN in front: see
# s3-policy.json.
set -eu
folder=$1
bucket=$2
forever="public, max-age=31536000, immutable"

# Taken first: all that it names is in the folder by now. A publisher that goes on meanwhile adds names, which go out with the
# next run; a timestamp taken last might name what was not brought.
timestamp=$(mktemp)
trap 'rm -f "$timestamp"' EXIT
cp "$folder/metadata/timestamp.json" "$timestamp"

# No name is written twice with other octets, so equal names of equal size are equal. What begins with a dot is being written.
bring() {
    from=$1
    cache=$2
    shift 2
    aws s3 sync "$folder/$from" "s3://$bucket/$from" --only-show-errors --size-only --cache-control "$cache" "$@"
}
bring targets "$forever" --exclude ".*" --exclude "*/.*"
bring metadata "$forever" --exclude ".*" --exclude timestamp.json --exclude "*.root.json"
bring metadata "public, max-age=60" --exclude "*" --include "[0-9]*.root.json"
aws s3 cp "$timestamp" "s3://$bucket/metadata/timestamp.json" --only-show-errors \
    --content-type application/json --cache-control "public, max-age=10, must-revalidate"
