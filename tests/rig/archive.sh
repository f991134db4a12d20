#!/bin/bash
# Provokes what packers say: damaged and missing archives, a full disk, a read-only one, forbidden directories.
# Run as root; needs tar unzip zip 7z gzip bzip2 xz zstd, and unrar and rar when they are there. Prints everything.
export LC_ALL=C.UTF-8
W=$(mktemp -d); trap 'umount "$W/tiny" "$W/ro" 2>/dev/null; rm -rf "$W"' EXIT
cd "$W" || exit 1
chmod 755 .; mkdir src tiny ro locked out
mount -t tmpfs -o size=200k tmpfs tiny
head -c 600000 /dev/urandom > src/video.mp4; seq 1 90000 > src/list.txt
tar czf a.tar.gz src; tar cf a.tar src; tar cjf a.tar.bz2 src; tar cJf a.tar.xz src; tar --zstd -cf a.tar.zst src
zip -qr a.zip src; zip -q -P geheim p.zip src/list.txt; 7z a a.7z src >/dev/null; 7z a -pgeheim p.7z src >/dev/null
command -v rar >/dev/null && { rar a -inul a.rar src; rar a -inul -hpgeheim p.rar src; rar a -inul -v200k v.rar src; rm -f v.part3.rar; }
for f in a.tar.gz a.tar a.tar.bz2 a.tar.xz a.tar.zst a.zip a.7z a.rar; do
  [ -f $f ] || continue
  head -c 300000 $f > cut.$f                                            # cut short
  cp $f bad.$f; printf '\x55\xaa\x55\xaa\x55\xaa\x55\xaa' | dd of=bad.$f bs=1 seek=200000 conv=notrunc status=none  # damaged inside
  echo "<html>502 Bad Gateway</html>" > html.$f                         # not an archive at all
done
cp -r src ro/; mount -t tmpfs -o ro tmpfs ro; chmod 700 locked out; for f in a.*; do chmod 644 "$f"; done; cp a.* locked/; chmod 600 locked/*
as="setpriv --reuid=65534 --regid=65534 --clear-groups"
try() { echo "## $*"; timeout 20 "$@" </dev/null 2>&1 | tr '\b\r' '\n\n' | grep -v '^ *$' | head -60; echo "## exit ${PIPESTATUS[0]}"; }
for k in a cut bad html; do
  p=$k.; [ $k = a ] && p=
  for e in tar.gz tar tar.bz2 tar.xz tar.zst; do f=a.$e; [ $k = a ] || f=$k.a.$e; try tar xf "$W/$f" -C out; done
  f=${p}a.zip; try unzip -o "$W/$f" -d out; try unzip -tq "$W/$f"
  f=${p}a.7z; try 7z x -y "$W/$f" -oout; try 7z t "$W/$f"
  command -v unrar >/dev/null && { f=${p}a.rar; try unrar x -o+ "$W/$f" out/; try unrar t "$W/$f"; }
done
for k in cut bad html; do
  try gzip -t $k.a.tar.gz; try gunzip -k $k.a.tar.gz; try zcat $k.a.tar.gz; try bzip2 -t $k.a.tar.bz2; try bunzip2 -k $k.a.tar.bz2
  try xz -t $k.a.tar.xz; try unxz -k $k.a.tar.xz; try zstd -t $k.a.tar.zst; try unzstd -f $k.a.tar.zst; try zip -T $k.a.zip
done
for d in tiny ro; do
  try tar xzf "$W/a.tar.gz" -C "$W/$d"; try tar czf "$W/$d/x.tar.gz" src; try unzip -o "$W/a.zip" -d "$W/$d"; try 7z x -y "$W/a.7z" "-o$W/$d"; try 7z a "$W/$d/x.7z" src
  try zip -r "$W/$d/x.zip" src; try sh -c "gzip -c src/video.mp4 > $W/$d/x.gz"; try zstd -f src/video.mp4 -o "$W/$d/x.zst"; try sh -c "xz -dc a.tar.xz > $W/$d/x.tar"
  try sh -c "bzip2 -c src/video.mp4 > $W/$d/x.bz2"; command -v unrar >/dev/null && try unrar x -o+ "$W/a.rar" "$W/$d/"
  rm -rf "$W/tiny"/*
done
for f in a.tar.gz a.zip a.7z a.rar; do
  case $f in *.tar.gz) c="tar xzf";; *.zip) c="unzip -o";; *.7z) c="7z x -y";; *) c="unrar x -o+";; esac
  command -v ${c%% *} >/dev/null || continue
  try $as $c "$W/locked/$f"; try $as sh -c "cd $W/src && $c $W/$f"; try $c "$W/nowhere/$f"
done
try $as tar xzf "$W/a.tar.gz" -C "$W/out"; try tar xzf "$W/a.tar.gz" -C "$W/nowhere"; try tar czf "$W/nowhere/x.tar.gz" src; try tar czf x.tar.gz nowhere/
for c in "gzip -k" "gunzip -k" "bzip2 -k" "xz -k" "zstd" "zip x.zip" "unzip -l" "7z l" "7z t"; do try $c nowhere/a.bin; try $as $c "$W/locked/a.tar"; done
try gzip src/list.txt; try gunzip -k src/list.txt.gz; try gzip -k src/list.txt.gz; try zip nothing.zip nowhere; try unzip -oP wrong p.zip; try unzip -o p.zip; try 7z x -y -pwrong p.7z; try 7z x -y -pwrong "$W/p.7z"
command -v unrar >/dev/null && { try unrar x -pwrong -o+ p.rar; try unrar x -p- -o+ p.rar; try unrar x -o+ v.part1.rar out/; try unrar x -o+ v.part2.rar out/; }
echo ok > "out/No space left on device.mp4"; echo ok > "out/Permission denied (CRC failed).txt"; try tar cvf t.tar out; try zip -r t.zip out; try unzip -o t.zip; try 7z a t.7z out; try 7z x -y t.7z; try gzip -v out/*.mp4; try zstd -v out/*.txt
command -v rar >/dev/null && { try rar a t.rar out; try unrar x -o+ t.rar; }
