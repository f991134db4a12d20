#!/bin/sh
# Runs aria2c, wget, wget2, busybox wget, curl, axel, lftp, rclone, rsync, ssh, scp and sftp against servers and directories that
# misbehave, and prints what they say. As root, loopback only: transfer_tools.sh TOOL WORKDIR
# WORKDIR gets full/ (a file system of 64 KiB), ro/ (read-only) and denied/ (nobody may not write there).
set -u
tool=$1 work=$2
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$work/open" "$work/denied" "$work/ro" "$work/full"
chmod 755 "$work"; chmod 777 "$work/open" "$work/full"; chmod 700 "$work/denied"
mountpoint -q "$work/full" || mount -t tmpfs -o size=64k,mode=777 tmpfs "$work/full"
mountpoint -q "$work/ro" || mount -t tmpfs -o ro tmpfs "$work/ro"
python3 "$here/server.py" 4 > "$work/http.port" 2>/dev/null & http=$!
python3 "$here/ftp.py" 4 > "$work/ftp.port" 2>/dev/null & ftp=$!
trap 'kill $http $ftp; umount "$work/full" "$work/ro"' EXIT
sleep 1
H=http://127.0.0.1:$(cat "$work/http.port") P=$(cat "$work/ftp.port") F=ftp://127.0.0.1:$(cat "$work/ftp.port")
urls=""
for code in 401 403 404 407 408 410 413 416 429 500 502 503 504; do urls="$urls $H/status/$code/a.mp4"; done
for kind in short stall stallmid reset resetmid empty badchunk badgzip ok; do urls="$urls $H/$kind/$kind.mp4"; done
urls="$urls http://127.0.0.1:9/a.mp4 http://no-such-host.invalid/a.mp4 $H/ok/503%20timeout%20error.mp4"
for file in 421 425 426 450 451 452 530 550 552 short cut stall ok; do urls="$urls $F/$file.bin"; done
urls="$urls ftp://530:p@127.0.0.1:$P/ok.bin ftp://421:p@127.0.0.1:$P/ok.bin $F/nodir/x.bin"

try() { echo "\$ $*" | sed "s#$work#/srv/bot#g"; timeout 20 "$@" 2>&1 </dev/null; echo "? $?"; }
nobody="setpriv --reuid=nobody --regid=nogroup --clear-groups"
cd "$work/open" || exit
case $tool in
aria2)
    rpc="--connect-timeout=2 --timeout=2 --max-tries=2 --retry-wait=1 --allow-overwrite=true --summary-interval=0"
    for url in $urls; do rm -f ./*; try aria2c $rpc --max-tries=1 "$url"; done
    try aria2c $rpc --console-log-level=info -d "$work/open" "$H/status/503/a.mp4"
    try aria2c $rpc -l - --log-level=notice "$H/stall/a.mp4"
    for dir in full ro ro/sub denied/x; do try $nobody aria2c $rpc --file-allocation=none -d "$work/$dir" "$H/ok/b.mp4"; done
    try $nobody aria2c $rpc --file-allocation=falloc -d "$work/full" "$H/ok/c.mp4"
    try aria2c $rpc --lowest-speed-limit=50K "$H/stallmid/d.mp4"
    try aria2c $rpc --checksum=md5=00000000000000000000000000000000 "$H/ok/e.mp4"
    try aria2c --allow-overwrite=false --auto-file-renaming=false "$H/ok/e.mp4"
    echo junk > junk.torrent; try aria2c $rpc junk.torrent; echo '<a' > junk.meta4; try aria2c $rpc -M junk.meta4
    try aria2c $rpc "magnet:?xt=urn:btih:zz"; try aria2c -i /srv/none.txt; try aria2c --conf-path=/srv/none.conf
    try aria2c $rpc -l "$work/ro/a.log" "$H/ok/f.mp4"; try aria2c --enable-rpc --rpc-listen-port=${P} ;;
wget | wget2)
    for url in $urls; do try $tool -T 2 -t 2 --waitretry=1 -O /dev/null "$url"; done
    try $tool -nv -T 2 -t 1 $H/status/503/a.mp4 $H/status/404/a.mp4 $H/short/a.mp4
    for dir in full ro denied none; do try $nobody $tool -nv -t 1 -O "$work/$dir/b.mp4" "$H/ok/b.mp4"; try $nobody $tool -nv -t 1 -P "$work/$dir" "$H/ok/c.mp4"; done
    try $tool -nv -i /srv/none.txt; try $tool -nv --post-file=/srv/none.bin "$H/ok/x"; try $tool -nv -o "$work/ro/w.log" "$H/ok/x"; try $tool -nv -Q 10k "$H/ok/1.mp4" "$H/ok/2.mp4"
    try $tool -nv -nc "$H/ok/1.mp4"; try $tool -nv -c "$H/ok/1.mp4"; try $tool --spider -t 1 "$H/status/404/a.mp4" ;;
busybox)
    for url in $urls; do try busybox wget -O bb.out "$url"; done
    for dir in full ro denied none; do try $nobody busybox wget -O "$work/$dir/b.mp4" "$H/ok/b.mp4"; done
    try busybox wget gopher://x/ ;;
curl)
    for url in $urls; do try curl -sS -f -m 2 -o /dev/null "$url"; done
    for url in $H/status/503/a.mp4 $H/status/429/a.mp4 $H/stall/a.mp4 http://127.0.0.1:9/a.mp4 $H/reset/a; do try curl -sSf -m 2 --retry 2 --retry-connrefused --retry-delay 1 -o /dev/null "$url"; done
    for dir in full ro denied none; do try $nobody curl -S -o "$work/$dir/b.mp4" "$H/ok/b.mp4"; done
    try curl -sS -T /srv/none.bin "$F/up.bin"; try curl -sS -o /dev/null -T "$here/ftp.py" "$F/552.bin"; try curl -sS -o /dev/null -T "$here/ftp.py" "$F/553.bin"; try curl -sS -o /dev/null -F f=@/srv/none.bin "$H/ok"
    try curl -sS -K /srv/none.conf; try curl -sS --max-filesize 100 "$H/ok"; try curl -sS gopherx://x; try curl -sS file:///srv/none.bin; try curl -sS -y 1 -Y 100000 -o /dev/null "$H/stallmid/a"
    try curl -v -m 2 "http://127.0.0.1:9/a"; try curl -v -m 2 -o /dev/null -x 127.0.0.1:9 "$H/ok"; try curl -sSf -m 2 -w "%{http_code} %{size_download} %{url_effective}\n" -o /dev/null "$H/ok/503.bin"; try curl -vsS -m 2 -o /dev/null $H/resetmid/a ;;
axel)
    for url in $urls; do rm -f ./*; try axel -T 2 -n 2 -o a.bin "$url"; done
    for dir in full ro denied none; do try $nobody axel -n 1 -o "$work/$dir/b.mp4" "$H/ok/b.mp4"; done
    try axel -n 1 -o c.mp4 "$H/ok/c.mp4"; try axel -c -n 1 -o c.mp4 "$H/ok/c.mp4"; try axel gopherx://x/ ;;
lftp)
    set_="set net:max-retries 2; set net:timeout 2; set net:reconnect-interval-base 1; set xfer:disk-full-fatal yes; set cmd:fail-exit no;"
    for url in $urls; do rm -f ./*; try lftp -c "$set_ get -c $url"; done
    try lftp -c "$set_ debug 5; get $F/421.bin"; try lftp -c "$set_ debug 5; open -u 530,p 127.0.0.1:$P; ls"; try lftp -c "$set_ debug 3; get $H/status/503/a.mp4"
    for dir in full ro denied none; do try $nobody lftp -c "$set_ get $H/ok/b.mp4 -o $work/$dir/b.mp4"; try $nobody lftp -c "$set_ lcd $work/$dir"; done
    try lftp -c "$set_ open $F; put $here/ftp.py -o 552.bin"; try lftp -c "$set_ open $F; put /srv/none.bin"; try lftp -c "$set_ open $F; mirror / m"; try $nobody lftp -c "$set_ open $F; mirror -v / $work/full/m"; try $nobody lftp -c "$set_ open $F; mirror / $work/ro/m"; try lftp -c "$set_ open $F; cd nodir"; try lftp -c "$set_ mirror -R /srv/none $F/"; try lftp -c "$set_ pget -n 2 $H/short/a.mp4"; try lftp -c "$set_ open sftp://no:p@127.0.0.1:9; ls" ;;
rclone)
    opt="--config /dev/null --retries 2 --low-level-retries 2 --contimeout 2s --timeout 3s"
    for url in $urls; do case $url in http*) try rclone $opt copyurl "$url" "$work/open/u.mp4" ;; esac; done
    for form in "--use-json-log" "-v" "-vv"; do try rclone $opt $form copyurl "$H/status/503/a.mp4" "$work/open/u.mp4"; done
    for file in 421 426 450 452 530 550 552 short cut stall ok; do try rclone $opt -v copyto ":ftp,host=127.0.0.1,port=$P,user=u,pass=$(rclone obscure p):$file.bin" "$work/open/f.bin"; done
    for user in 530 421; do try rclone $opt lsf ":ftp,host=127.0.0.1,port=$P,user=$user,pass=$(rclone obscure p):"; done
    head -c 200000 /dev/zero > big.bin; mkdir -p src; cp big.bin src/
    for dir in full ro ro/x denied/x; do try $nobody rclone $opt -v copy src "$work/$dir"; done
    try $nobody rclone $opt --use-json-log copy src "$work/full"; chmod 700 src; try $nobody rclone $opt copy src "$work/open/y"
    try rclone $opt copy /srv/none "$work/open/z"; try rclone $opt ls nosuch:; try rclone $opt lsf ":sftp,host=127.0.0.1,port=9,user=u,pass=$(rclone obscure p):"; try rclone $opt --max-transfer 10k copy src "$work/open/t"; try rclone $opt lsf ":http,url='$H/status/404/':"; try rclone $opt lsf ":webdav,url='$H/status/401/':"; try rclone $opt lsf ":webdav,url='$H/status/507/':"; try rclone $opt copyto big.bin ":webdav,url='$H/status/413/':x"; try rclone $opt lsf ":s3,provider=Minio,endpoint='$H',access_key_id=x,secret_access_key=y:status/403"; try rclone $opt lsf ":http,url='http://no-such-host.invalid':"; try rclone $opt nosuch; try rclone $opt -P copy src "$work/open/w" ;;
rsync)
    head -c 200000 /dev/zero > big.bin; mkdir -p src; cp big.bin src/
    for dir in full ro ro/x/y denied none/x; do try $nobody rsync -a src/ "$work/$dir/"; done
    try rsync -a /srv/none "$work/open/x"; chmod 600 src/big.bin; try $nobody rsync -a src/ "$work/open/y/"; chmod 700 src; try $nobody rsync -a src/ "$work/open/y/"
    printf 'use chroot = no\nmax connections = 1\nlock file = %s/lock\nport = 8873\naddress = 127.0.0.1\n[ro]\npath = %s/open/src\n[rw]\npath = %s/full\nread only = no\n[sec]\npath = %s/open\nauth users = u\nsecrets file = %s/none\n[deny]\npath = %s\nhosts deny = *\n[gone]\npath = /srv/none\n' "$work" "$work" "$work" "$work" "$work" "$work" > "$work/rsyncd.conf"
    rsync --daemon --no-detach --config="$work/rsyncd.conf" --log-file="$work/rsyncd.log" & d=$!; sleep 1
    R=rsync://127.0.0.1:8873
    for module in nosuch sec deny gone; do try rsync -a "$R/$module/" "$work/open/z/"; done
    try rsync -a src/ "$R/ro/"; try rsync -a src/ "$R/rw/"; try rsync "$R/ro/none.bin" .; try rsync --bwlimit=10 "$R/ro/big.bin" "$work/open/b1" & sleep 1; try rsync "$R/ro/big.bin" "$work/open/b2"; kill $d; wait $!
    cat "$work/rsyncd.log"
    try rsync -a --contimeout=1 "rsync://127.0.0.1:9/x/" z; try rsync -a rsync://no-such-host.invalid/x/ z; try rsync -a "rsync://127.0.0.1:$P/x/" z; try rsync -a --timeout=1 "$R/x/" z; try rsync -a -e "ssh -p 9 -o BatchMode=yes" 127.0.0.1:/x z; try rsync --nosuch; try rsync -a --max-size=10 src/ mm; try rsync -a --partial -v src/ mm; try rsync -e "sh -c 'exit 127'" h:/x z; try rsync -e "sh -c 'kill -9 \$\$'" h:/x z ;;
ssh)
    mkdir -p /run/sshd "$work/k"; [ -f "$work/k/h" ] || { ssh-keygen -q -t ed25519 -N '' -f "$work/k/h"; ssh-keygen -q -t ed25519 -N '' -f "$work/k/u"; ssh-keygen -q -t ed25519 -N '' -f "$work/k/wrong"; cp "$work/k/u.pub" "$work/k/auth"; chmod 644 "$work/k/auth"; }
    /usr/sbin/sshd -D -e -f /dev/null -p 8022 -h "$work/k/h" -o ListenAddress=127.0.0.1 -o AuthorizedKeysFile="$work/k/auth" -o StrictModes=no -o PasswordAuthentication=yes -o Subsystem="sftp internal-sftp" 2> "$work/sshd.log" & d=$!; sleep 1
    base="-o StrictHostKeyChecking=no -o UserKnownHostsFile=$work/k/known -o ConnectTimeout=2 -o IdentitiesOnly=yes"
    good="$base -i $work/k/u" port="-p 8022" Port="-P 8022"
    try ssh $good $port root@127.0.0.1 true; try ssh $base -o BatchMode=yes -i "$work/k/wrong" $port root@127.0.0.1 true; try sshpass -p wrong ssh $base -o PubkeyAuthentication=no $port root@127.0.0.1 true
    try ssh $good -p 9 root@127.0.0.1 true; try ssh $good root@no-such-host.invalid true; try ssh $good -p "$P" root@127.0.0.1 true; try ssh $good -p 8022 -o StrictHostKeyChecking=yes -o UserKnownHostsFile=/dev/null root@127.0.0.1 true
    chmod 644 "$work/k/wrong"; try ssh $base -o BatchMode=yes -i "$work/k/wrong" $port root@127.0.0.1 true; try ssh $base -o BatchMode=yes -i /srv/none $port root@127.0.0.1 true; try ssh -F /srv/none root@127.0.0.1
    ssh-keygen -q -t ed25519 -N '' -f "$work/k/other" <<Y >/dev/null
y
Y
    printf '[127.0.0.1]:8022 %s\n' "$(cut -d' ' -f1,2 "$work/k/other.pub")" > "$work/k/changed"; try ssh $good $port -o UserKnownHostsFile="$work/k/changed" -o StrictHostKeyChecking=yes root@127.0.0.1 true
    head -c 200000 /dev/zero > big.bin; I="root@127.0.0.1:"
    for proto in "" -O; do for dir in full ro none; do try scp $proto $good $Port big.bin "$I$work/$dir/big.bin"; try scp $proto $good $Port "$I$PWD/big.bin" "$work/$dir/big.bin"; done; try scp $proto $good $Port "$I/srv/none.bin" x; try scp $proto $good $Port /srv/none.bin "${I}x"; try scp $proto $good -P 9 big.bin "${I}x"; try $nobody scp $proto $good $Port big.bin "${I}x"; done
    cp "$work/k/u" "$work/k/n"; chown nobody "$work/k/n"; bad="$base -i $work/k/n"; try $nobody scp $bad $Port "$I$PWD/big.bin" "$work/denied/x"
    printf 'get /srv/none.bin\nput %s/big.bin %s/full/p.bin\nput /srv/none.bin\ncd /srv/none\nlcd /srv/none\nmkdir %s/ro/d\nrm /srv/none\nget %s/big.bin %s/ro/g\nrename /srv/a /srv/b\nls /srv/none\n' "$PWD" "$work" "$work" "$PWD" "$work" | sed 's/^/-/' > batch
    try sftp $good $Port -b batch root@127.0.0.1; try sftp $good -P 9 root@127.0.0.1; try sftp $base -o BatchMode=yes -i "$work/k/u" -P 8022 -s nosuch root@127.0.0.1; try sftp -b /srv/none $good root@127.0.0.1
    kill $d; cat "$work/sshd.log" ;;
s3)
    PATH=/usr/bin:$PATH; export PATH AWS_ACCESS_KEY_ID=AKIAEXAMPLE AWS_SECRET_ACCESS_KEY=example AWS_DEFAULT_REGION=us-east-1 AWS_MAX_ATTEMPTS=2
    for code in 401 403 404 429 500 503; do try aws --endpoint-url "$H/status/$code" --cli-read-timeout 2 s3 cp s3://b/k.mp4 "$work/open/k"; try s3cmd --access_key=A --secret_key=B --no-ssl --host="127.0.0.1:$(cat "$work/http.port")" --host-bucket=  get "s3://status/$code/k.mp4" k; done
    for url in http://127.0.0.1:9 "$H/stall" "$H/reset"; do try aws --endpoint-url "$url" --cli-read-timeout 2 --cli-connect-timeout 2 s3 ls s3://b; done
    for dir in full ro denied; do try $nobody aws --endpoint-url "$H" s3 cp s3://ok/k.mp4 "$work/$dir/k"; done
    try aws --endpoint-url "$H" s3 cp /srv/none.bin s3://b/k; try s3cmd --access_key=A --secret_key=B --no-ssl --host=127.0.0.1:9 --host-bucket= ls; try s3cmd --access_key=A --secret_key=B put /srv/none.bin s3://b/k ;;
esac
