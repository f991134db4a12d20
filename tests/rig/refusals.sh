#!/bin/bash
# Programs that meet a full disk, a read-only file system, a foreign directory, a missing one: refusals.sh locales|languages [SHARE]
#
# locales: coreutils and bash in the languages that are generated (Debian's `locales`); SHARE is a /usr/share/locale with the
# messages, where the machine's own was left out. languages: Java, PHP, Ruby, Perl, C. As root; everything is in a mount namespace.
if [ -z "$IN_NAMESPACE" ]; then IN_NAMESPACE=1 exec unshare -m "$0" "$@"; fi
mode=$1
[ -n "$2" ] && mount --bind "$2" /usr/share/locale
mount -t tmpfs rig /srv
mkdir -p /srv/bot/{ro,full,denied,in}; cd /srv/bot || exit 1
echo hello > in/a.mp4; echo x > ro/old.mp4
mount -t tmpfs -o size=64k full full; mount --bind ro ro; mount -o remount,ro,bind ro
chmod 700 denied; chmod 777 full; head -c 200000 /dev/zero > in/big.mp4
as_bot() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }

locales() {
    for language in es_ES de_DE fr_FR pt_PT pt_BR ru_RU zh_CN zh_TW; do
        export LC_ALL=$language.UTF-8
        cp in/a.mp4 ro/a.mp4; cp in/big.mp4 full/big.mp4; as_bot mkdir denied/2026; as_bot touch denied/a; rm ro/old.mp4; cat gone/a.log; mv gone/a.part in/
        ls /srv/bot/gone; as_bot cat /srv/bot/denied/a; cat /srv/bot/in/a.mp4/b; as_bot chown root in/a.mp4; bash -c 'echo x > /srv/bot/ro/n'; bash -c 'echo x > /srv/bot/gone/n'
        bash -c 'echo x > /dev/tcp/127.0.0.1/9'; bash -c 'echo x > /dev/full'; tar xf gone.tar; as_bot find denied
        bash -c 'sleep 9 & kill -9 $!; wait $!'; bash -c 'bash -c "kill -SEGV \$\$"; :'
        rm -f full/big.mp4
    done
}

languages() {
    cat > T.java <<'J'
import java.io.*; import java.net.*; import java.nio.file.*;
class T {
  interface Job { void run() throws Exception; }
  static void t(Job j) { try { j.run(); } catch (Exception e) { System.err.println("[ERROR] job failed: " + e); e.printStackTrace(); } }
  static Socket stall() throws Exception { ServerSocket s = new ServerSocket(0, 9, InetAddress.getLoopbackAddress()); Socket c = new Socket(s.getInetAddress(), s.getLocalPort()); c.setSoTimeout(300); return c; }
  public static void main(String[] a) throws Exception {
    t(() -> new FileOutputStream("/srv/bot/ro/n.mp4")); t(() -> new FileOutputStream("/srv/bot/gone/n.mp4")); t(() -> new FileInputStream("/srv/bot/in"));
    t(() -> Files.write(Path.of("/srv/bot/gone/n"), new byte[9])); t(() -> Files.write(Path.of("/srv/bot/ro/n"), new byte[9])); t(() -> Files.write(Path.of("/srv/bot/full/n"), new byte[200000]));
    t(() -> new Socket("127.0.0.1", 9)); t(() -> new Socket("no-such-host.invalid", 80)); t(() -> stall().getInputStream().read());
    t(() -> { ServerSocket s = new ServerSocket(0); new ServerSocket(s.getLocalPort()); });
    t(() -> new java.util.zip.ZipFile("/srv/bot/in/a.mp4")); t(() -> new java.util.zip.GZIPInputStream(new FileInputStream("/srv/bot/in/a.mp4"))); t(() -> new DataInputStream(new ByteArrayInputStream(new byte[1])).readInt());
    Object[] o = new Object[1]; o[0].toString();
  }
}
J
    java T.java
    cat > t.php <<'P'
<?php
file_put_contents("/srv/bot/ro/n.mp4", "x"); file_put_contents("/srv/bot/gone/n.mp4", "x"); file_put_contents("/srv/bot/full/n", str_repeat("x", 200000)); fopen("http://127.0.0.1:9/a.mp4", "r"); mkdir("/srv/bot/ro/d");
fopen("http://no-such-host.invalid/a.mp4", "r"); rename("/srv/bot/gone/a.part", "/srv/bot/in/a"); unlink("/srv/bot/ro/old.mp4"); throw new RuntimeException("queue is empty");
P
    php -d display_errors=stderr -d log_errors=0 t.php; php -d log_errors=1 -d display_errors=0 t.php; rm -f full/n
    php -d memory_limit=2M -d display_errors=stderr -r '$a = str_repeat("x", 9000000);'
    for job in 'File.open("/srv/bot/ro/n.mp4", "w")' 'File.read("/srv/bot/gone/n.mp4")' 'File.write("/srv/bot/full/n", "x" * 200000)' 'TCPSocket.new("127.0.0.1", 9)' 'Net::HTTP.get(URI("http://no-such-host.invalid/a"))' \
        's=TCPServer.new("127.0.0.1",0); h=Net::HTTP.new("127.0.0.1",s.addr[1]); h.read_timeout=0.3; h.max_retries=0; h.get("/")' 'nil.foo' 'Dir.mkdir("/srv/bot/ro/d")'; do
        ruby -rsocket -rnet/http -e "$job"; ruby -rsocket -rnet/http -e "begin; $job; rescue => e; warn \"[ERROR] job failed: #{e.class}: #{e.message}\"; end"
    done
    rm -f full/n
    perl -e 'open(F, ">", "/srv/bot/ro/n.mp4") or die "Cannot open /srv/bot/ro/n.mp4: $!"'; perl -e 'open(F, "<", "/srv/bot/gone/n") or warn "cannot read /srv/bot/gone/n: $!\n"'; perl -e 'die'; perl -MIO::Socket::INET -e 'IO::Socket::INET->new("127.0.0.1:9") or die "connect: $@"'
    printf '#include <stdio.h>\n#include <stdlib.h>\nint main(int n,char**v){FILE*f=fopen(v[1],"w");if(!f){perror("fopen");perror(v[1]);return 1;}char b[200000]={0};fwrite(b,1,200000,f);if(fclose(f))perror("fclose");}' > t.c
    gcc -w t.c -o t && for file in ro/n gone/n full/n; do ./t /srv/bot/$file; done
}
"$mode" 2>&1
