#!/bin/bash
# What 38-software.sh does inside the containers: `software_ops.sh STEP` prints what a user would see of it. Both users
# run the same steps, and what is printed must be the same; so no pid, time or size that differs by itself is printed.
export DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
cd /

wait_for() {
    local i
    for ((i = 0; i < 300; i++)); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done
    echo "waited in vain: $*"; return 1
}

# The whole tree: path, type, mode, owners as numbers, link target and, of regular files, the size. What is made by
# chance has no size (keys, certificates, logs, the database's own bookkeeping) or no name (links named by a
# certificate's hash, private directories of systemd's); a cache of the database is there only after a connection.
tree() {
    find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /kit \) -prune -o \
        \( -type f -printf '%p %y %m %U %G %s\n' -o -printf '%p %y %m %U %G %l\n' \) |
        sed -E -e '\,^/(etc/ssh/ssh_host_|etc/ssl/[a-z]+/ssl-cert-snakeoil|var/log/|var/lib/postgresql/)[^ ]* f ,s/ [0-9]+$/ -/' \
            -e 's,^/etc/ssl/certs/[0-9a-f]{8}[.]0 ,/etc/ssl/certs/HASH.0 ,' -e '\,/pg_internal[.]init ,d' \
            -e 's,(/systemd-private-[^/ ]*)-[A-Za-z0-9]{6}([/ ]),\1-RANDOM\2,' | sort
}

packages() { # PACKAGE…: as an administrator would, maintainer scripts and all
    apt-get -qq update 2>&1 && apt-get -qq -y --no-install-recommends install "$@" >/tmp/apt.log 2>&1
    echo "exit $?"; grep -iE '^(W|E):|error|warning|failed|not permitted|invalid' /tmp/apt.log; rm /tmp/apt.log
    dpkg-query -W -f '${Package} ${Version} ${Status}\n'
    dpkg --verify; dpkg-statoverride --list | sort
    cut -d: -f1,3,4 /etc/passwd; cut -d: -f1,3 /etc/group
}

accounts() { # ids that are in nobody's pool
    groupadd -g 61000 team
    useradd -u 60000 -m -s /bin/bash -G team alice; useradd -u 60001 -g team -m -s /bin/bash bob
    for i in 1 2 3; do useradd -r -u $((62000 + i)) -s /usr/sbin/nologin service$i; done
    useradd -m carol                                           # the first ordinary id
    echo "alice: $(id alice)"; echo "bob: $(id bob)"; echo "carol: $(id carol)"
    for f in passwd group subuid; do tail -n 7 /etc/$f; done
}

files() { # every kind of file, every way to give it away
    mkdir -p /srv/data/deep/er; cd /srv/data || return
    echo text >deep/er/file; cp /bin/true suid; cp /bin/true sgid; ln -s deep/er/file link; mkfifo fifo; ln deep/er/file hard
    chown -R alice:team .; chown -h bob:team link; chown carol sgid; chgrp 60000 fifo
    chmod 2775 deep; chmod 4755 suid; chmod 2755 sgid; touch deep/inherits
    install -o 62001 -g 61000 -m 640 /etc/hostname installed; chown 62002 no-such-file; echo "exit $?"
    find /srv/data -printf '%p %y %m %u:%g %U:%G %l\n' | sort
}

later() { # in another step of the build
    find /srv/data -printf '%p %y %m %U:%G\n' | sort; su alice -c 'echo more >>/srv/data/hard'; echo "exit $?"
}

copies() { # what copies owners, by three programs
    cp -a /srv/data /srv/copied; mkdir /srv/untarred /srv/by-names
    tar -C /srv/data --sort=name --numeric-owner -cf /tmp/a.tar .
    tar -C /srv/untarred --numeric-owner -xpf /tmp/a.tar
    tar -C /srv/data -cf /tmp/b.tar . && tar -C /srv/by-names -xpf /tmp/b.tar
    tar --numeric-owner -tvf /tmp/a.tar | awk '{print $1, $2, $6}' | sort; rm /tmp/a.tar /tmp/b.tar
    find /srv/copied /srv/untarred /srv/by-names -printf '%p %y %m %U:%G\n' | sort
}

logins() { # su and what a user may do then
    su - alice -c 'id; umask; touch mine; stat -c "%n %u:%g" mine; chgrp team mine; stat -c %u:%g mine
        echo more >>/srv/data/deep/er/file; mktemp -d /tmp/alice.XXXXXX | wc -l
        chown bob mine; echo "exit $?"; cat /etc/shadow; echo "exit $?"; kill -0 1; echo "exit $?"'
    su - bob -c 'id -u; cat /srv/data/deep/er/file; echo x >>/srv/data/deep/er/file; echo "exit $?"
        echo x >/srv/data/deep/bobs; stat -c "%u:%g" /srv/data/deep/bobs; ls /home/alice; echo "exit $?"'
    su - service1 -c id; echo "exit $?"
    su -s /bin/sh service1 -c 'id; cat /srv/data/installed >/dev/null; echo "exit $?"
        awk "/^(Uid|Gid|Groups|CapEff)/" /proc/self/status'
    setpriv --reuid 62003 --regid 61000 --groups 60000,62001,42 sh -c 'id -u; id -g
        id -G | xargs -n 1 | sort -n | xargs; cat /etc/shadow >/dev/null; echo "exit $?"'
    rm -r /tmp/alice.*
}

# A database cluster of USER, asked through its socket: the server knows who asks by SO_PEERCRED only.
postgres() { # USER PORT
    local user=$1 port=$2 dir=/srv/pg-$1 bin; bin=$(echo /usr/lib/postgresql/*/bin)
    as_owner() { su "$user" -s /bin/bash -c "$*"; }
    install -d -o "$user" -m 700 "$dir"
    as_owner "$bin/initdb -D $dir/data --no-sync --auth=peer >/dev/null"; echo "exit $?"
    as_owner "$bin/pg_ctl -D $dir/data -w -l $dir/log -o '-p $port -k $dir -c listen_addresses= -c fsync=off' start >/dev/null"
    echo "exit $?"; grep -E 'FATAL|ERROR|could not' "$dir/log"
    as_owner "psql -h $dir -p $port -At -c 'select current_user, 6*7' postgres"
    psql -h "$dir" -p "$port" -U "$user" -c 'select 1' postgres 2>&1 | grep -o 'Peer authentication failed.*'
    ps -o user:20= -o uid= -p "$(head -1 "$dir/data/postmaster.pid")"
    ps -eo uid=,args= | grep '[p]ostgres: ' | grep -v worker | sed 's/  */ /g' | sort
    find "$dir/data" -maxdepth 1 -printf '%p %y %m %U:%G\n' | sort
    as_owner "$bin/pg_ctl -D $dir/data -w -m fast stop >/dev/null"; echo "exit $?"; rm -rf "$dir"
}

get() { # PORT PATH: first and last line of the answer
    exec 3<>"/dev/tcp/127.0.0.1/$1" && printf 'GET %s HTTP/1.0\r\n\r\n' "$2" >&3 && tr -d '\r' <&3 | sed -n '1p;$p'
}
nginx() { # USER GROUP: the workers' user; a page that only it can read, and one that nobody can
    mkdir -p /srv/www; echo "for $1" >/srv/www/page; echo secret >/srv/www/secret
    chown "$1:$2" /srv/www/page; chmod 400 /srv/www/page; chmod 000 /srv/www/secret
    printf '%s\n' "user $1 $2; worker_processes 2; pid /run/nginx-test.pid; error_log /tmp/nginx.err;" 'events {}' \
        'http { access_log off; server { listen 127.0.0.1:8080; root /srv/www; } }' >/srv/nginx.conf
    /usr/sbin/nginx -c /srv/nginx.conf; echo "exit $?"; wait_for test -s /run/nginx-test.pid
    get 8080 /page; get 8080 /secret
    ps -eo user:20=,uid=,args= | grep '[n]ginx: ' | sed 's/  */ /g' | sort
    find /var/lib/nginx -printf '%p %m %U:%G\n' | sort
    kill "$(cat /run/nginx-test.pid)"; wait_for test ! -e /run/nginx-test.pid
    rm -r /srv/www /srv/nginx.conf /tmp/nginx.err
}

sshd() { # a session of alice's with her key; sshd splits itself into root's and hers
    local ssh="ssh -p 2222 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes"
    su - alice -c 'mkdir -m 700 .ssh; ssh-keygen -q -t ed25519 -N "" -f .ssh/id_ed25519; cp .ssh/id_ed25519.pub .ssh/authorized_keys'
    mkdir -p /run/sshd
    /usr/sbin/sshd -p 2222 -E /tmp/sshd.log -o ListenAddress=127.0.0.1 -o PidFile=/run/sshd-test.pid; echo "exit $?"
    wait_for test -s /run/sshd-test.pid
    cat >/tmp/session <<'S'
id; wc -w <<<"$SSH_CONNECTION"; ps -eo user:20=,uid=,args= | grep "[s]shd: " | sed "s/  */ /g" | sort
S
    su - alice -c "$ssh alice@127.0.0.1 bash /tmp/session"; echo "exit $?"
    su - alice -c "$ssh -tt alice@127.0.0.1 'tty; stat -c %u:%g:%a \$(tty); id -un'" | tr -d '\r'
    su - alice -c "$ssh root@127.0.0.1 id" 2>&1 | head -1
    kill "$(cat /run/sshd-test.pid)"
    grep -iE 'error|denied|cannot|fatal|operation not permitted|invalid' /tmp/sshd.log
    rm -r /home/alice/.ssh /tmp/sshd.log /tmp/session
}

# --- with ids that nobody planned: those of accounts, others in their place, and of daemons that had planned ones ---

late_accounts() { # what an administrator of a running container does
    useradd -r -u 999 -g team -d / -s /bin/bash dba
    usermod -u 64100 _apt; usermod -u 64101 munge; groupmod -g 64102 munge; usermod -u 64103 messagebus; usermod -u 64104 sshd
    mkdir -p /run/munge; chown -R munge:munge /etc/munge /var/lib/munge /var/log/munge /run/munge
    chown _apt /var/lib/apt/lists/partial /var/cache/apt/archives/partial
    for name in dba _apt munge messagebus sshd; do id $name; done
    find /etc/munge /var/lib/munge /var/log/munge /var/lib/apt/lists/partial -printf '%p %y %m %u:%g %U:%G\n' | sort
}

sudo() { # of alice to bob, and to nobody else; of the group team to root by a password that nobody has
    printf '%s\n' 'alice ALL=(bob:team) NOPASSWD: ALL' 'dba ALL=(ALL) NOPASSWD: ALL' 'Defaults !lecture, runas_allow_unknown_id' >/etc/sudoers.d/alice
    chmod 440 /etc/sudoers.d/alice
    su - alice -c 'sudo -n -u bob id; sudo -n -u bob -g team sh -c "touch /tmp/bobs; stat -c %u:%g /tmp/bobs; rm /tmp/bobs; cat /etc/shadow"
        sudo -n -u bob grep -E "^(CapEff|CapPrm)" /proc/self/status; sudo -n id 2>&1; sudo -n -u carol id 2>&1; sudo -n -l' 2>&1
    su - bob -c 'sudo -n id' 2>&1
    su - dba -c 'sudo -n id; sudo -n wc -l </etc/passwd; sudo -n -u "#64999" id -u; sudo -n -u alice sudo -n -u bob id -un' 2>&1
    rm /etc/sudoers.d/alice; stat -c '%a %U:%G' /usr/bin/sudo
}

munge() { # a credential says whose it is, because the daemon asks the socket
    runuser -u munge -- munged; echo "exit $?"; wait_for test -S /run/munge/munge.socket.2
    for who in alice bob root; do
        su $who -c 'munge -n | unmunge' | grep -E '^(STATUS|UID|GID)' | sed 's/  */ /g'
    done
    su bob -c 'munge -n --restrict-uid alice' >/tmp/for-alice; chmod 644 /tmp/for-alice
    for who in alice bob; do su $who -c 'unmunge </tmp/for-alice' 2>&1 | grep -E '^(STATUS|UID)|Unauthorized' | sed 's/  */ /g'; done
    find /run/munge -printf '%p %y %m %u:%g %U:%G\n' | sort
    kill "$(cat /run/munge/munged.pid)"; wait_for test ! -e /run/munge/munged.pid; rm /tmp/for-alice; cut -d' ' -f6- /var/log/munge/munged.log | grep -i error
}

dbus() { # the system's: it gives root up, knows who is connected, and who may have which name
    echo '<busconfig><policy user="alice"><allow own="org.example.A"/></policy></busconfig>' >/etc/dbus-1/system.d/a.conf
    mkdir -p /run/dbus; dbus-daemon --system --fork; echo "exit $?"; wait_for test -S /run/dbus/system_bus_socket
    for who in alice bob root; do
        su $who -c 'dbus-send --system --print-reply=literal --dest=org.freedesktop.DBus / org.freedesktop.DBus.RequestName string:org.example.A uint32:0
            busctl --system list --unique --no-legend | awk "/busctl/ {print \$3, \$4}"' 2>&1 | sed -E 's/^ *//; s/":[0-9.]+"/ID/'
    done
    kill "$(cat /run/dbus/pid)"; rm -rf /run/dbus /etc/dbus-1/system.d/a.conf
}

apt_get() { # apt downloads as _apt and checks that it cannot come back; what it unpacks belongs to high ids
    rm -rf /tmp/p; mkdir -p /tmp/p/DEBIAN /tmp/p/srv/high /tmp/high
    printf '%s\n' 'Package: high' 'Version: 1' 'Architecture: all' 'Maintainer: none <none@localhost>' 'Description: high ids' >/tmp/p/DEBIAN/control
    echo x >/tmp/p/srv/high/file; cp /bin/true /tmp/p/srv/high/suid; ln -s file /tmp/p/srv/high/link; mkfifo /tmp/p/srv/high/fifo
    chown -h bob:team /tmp/p/srv/high/*; chmod 4755 /tmp/p/srv/high/suid; chown alice /tmp/p/srv/high
    dpkg-deb -b /tmp/p /tmp/high/high.deb >/dev/null; echo "exit $?"; dpkg-deb -c /tmp/high/high.deb | awk '{print $1, $2, $6}'
    printf '%s\n' "Package: high" "Version: 1" "Architecture: all" "Filename: high.deb" "Size: $(stat -c %s /tmp/high/high.deb)" \
        "SHA256: $(sha256sum /tmp/high/high.deb | cut -d' ' -f1)" "Description: high ids" >/tmp/high/Packages
    chown -R _apt /tmp/high; chmod -R go= /tmp/high                # for _apt only: a download as root's slot would do as well, but
    echo 'deb [trusted=yes] copy:/tmp/high ./' >/etc/apt/sources.list.d/high.list       # one as anybody else's would not
    apt-get -qq -o APT::Sandbox::Verify=1 update 2>&1; apt-get -qq -y -o APT::Sandbox::Verify=1 install high 2>&1 | grep -E '^[WE]:'
    find /srv/high -printf '%p %y %m %U:%G %u:%g\n' | sort; dpkg --verify high; dpkg-query -W -f '${Status}\n' high
    stat -c '%n %U:%G' /var/lib/apt/lists/partial /var/cache/apt/archives/partial; rm -r /tmp/p /tmp/high /var/cache/apt/archives/high*.deb /etc/apt/sources.list.d/high.list
}

console() { # login on a terminal, which is alice's meanwhile
    echo 'id; stat -c "%u:%g %a" $(tty); groups; exit 3' >/home/alice/.bash_profile
    timeout 30 script -qec 'login -f alice' /dev/null </dev/null | tr -d '\r' | grep -E '^(uid=|[0-9]+:|alice )'
    echo "exit ${PIPESTATUS[0]}"; rm /home/alice/.bash_profile
}

hold() { # until the container ends: processes of ids that no 65,536 ids reach to
    local key=/home/dave/.ssh
    useradd -l -u 70000 -m -s /bin/bash dave 2>/dev/null; useradd -l -u 1185200044 -g dave -m -s /bin/bash huge 2>/dev/null
    install -o root -m 4755 /bin/sleep /usr/bin/rootsleep; install -o dave -m 4755 /bin/sleep /usr/bin/davesleep; install -g dave -m 2755 /bin/sleep /usr/bin/groupsleep
    su dave -c 'sleep 4001 & umask 077; echo mine >~/mine; cp /bin/id ~/id; chmod 755 ~; chmod 4755 ~/id; mkdir ~/.ssh; ssh-keygen -q -t ed25519 -N "" -f ~/.ssh/k; cp ~/.ssh/k.pub ~/.ssh/authorized_keys'
    su huge -c 'sleep 4002 & umask 077; echo mine >~/mine; chmod 755 ~; rootsleep 4003 & davesleep 4004 & groupsleep 4005 &'
    echo 'huge ALL=(dave) NOPASSWD: ALL' >/etc/sudoers.d/huge; chmod 440 /etc/sudoers.d/huge
    su huge -c 'sudo -n -b -u dave sleep 4006'
    mkdir -p /run/sshd; /usr/sbin/sshd -p 2223 -o ListenAddress=127.0.0.1; wait_for grep -q :08AF /proc/net/tcp
    (ssh -q -i $key/k -p 2223 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null dave@127.0.0.1 'exec sleep 4007' >/dev/null 2>&1 </dev/null &)
    printf '%s\n' "user dave; pid /run/nginx-test.pid; error_log /tmp/nginx.err;" 'events {}' 'http { access_log off; server { listen 127.0.0.1:8080; } }' >/srv/nginx.conf
    /usr/sbin/nginx -c /srv/nginx.conf; runuser -u munge -- munged; mkdir -p /run/dbus; dbus-daemon --system --fork
    sleep 4008 & wait_for pgrep -f '^sleep 4007'
    install -d /tmp/p/DEBIAN /tmp/p/srv/deb; cp -a /home/huge/mine /home/dave/id /tmp/p/srv/deb/; chown -R huge:70000 /tmp/p/srv/deb
    printf '%s\n' 'Package: deb' 'Version: 1' 'Architecture: all' 'Maintainer: none <none@localhost>' 'Description: none' >/tmp/p/DEBIAN/control
    dpkg-deb -b /tmp/p /tmp/deb.deb >/dev/null && dpkg -i /tmp/deb.deb >/dev/null 2>&1; tar -C /srv -cf /tmp/deb.tar deb; mkdir /srv/tar; tar -C /srv/tar -xpf /tmp/deb.tar
    echo "deb: $(find /srv/deb /srv/tar/deb -printf '%f %m %U:%G\n' | sort | xargs) $(tar -tvf /tmp/deb.tar --numeric-owner | awk '{print $2}' | xargs)"
    for who in dave huge; do
        echo "$who: $(su $who -c 'id -u; awk "/^(CapPrm|CapEff)/ {print \$2}" /proc/self/status; cat /home/{dave,huge}/mine 2>/dev/null; ~dave/id -u
            for n in 1 2 3 4 5 6 7 8; do kill -0 $(pgrep -f "^[a-z]*sleep 400$n$") 2>/dev/null && echo sleep-$n; done
            for n in 1 2; do cat /proc/$(pgrep -f "^sleep 400$n$")/environ >/dev/null 2>&1 && echo environ-$n; done
            touch /etc/x /home/dave/x /home/huge/x 2>/dev/null; stat -c %u:%g /home/dave/x /home/huge/x 2>/dev/null' | xargs)"
    done
}

# systemd as process 1, with services of five users: directories that it makes for them, and what it starts them as
unit() { # NAME USER [LINE…]
    local name=$1 user=$2; shift 2
    printf '%s\n' '[Unit]' "Description=$name" '[Service]' "User=$user" "StateDirectory=$name" "RuntimeDirectory=$name" "$@" \
        "ExecStart=/bin/bash -c 'id; id -u >/var/lib/$name/uid; touch /run/$name/file; exec sleep infinity'" '[Install]' \
        'WantedBy=multi-user.target' >"/etc/systemd/system/$name.service"
    ln -s "../$name.service" /etc/systemd/system/multi-user.target.wants/
}
boot() {
    accounts >/dev/null 2>&1
    unit one alice NoNewPrivileges=yes; unit two bob 'SupplementaryGroups=60000 shadow'; unit three 62001 Group=team PrivateTmp=yes
    unit four service2 AmbientCapabilities=CAP_NET_BIND_SERVICE; unit five nobody Group=nogroup UMask=0027
    ln -s /dev/null /etc/systemd/system/timers.target          # what starts at a time of its own would make trees differ
    exec /lib/systemd/systemd
}
services() {
    local name pid
    wait_for test -S /run/systemd/private; timeout 60 systemctl is-system-running --wait
    systemctl --failed --plain --no-legend; systemctl list-units --plain --no-legend --type=service --state=running | awk '{print $1, $4}'
    for name in one two three four five ssh nginx postgresql@15-main; do
        pid=$(systemctl show -P MainPID $name); echo "$name $(systemctl show -P ActiveState $name) $(stat -c %u:%g "/proc/$pid")" \
            "$(awk '/^(Uid|Gid|CapEff|NoNewPrivs)/ {$1 = ""; print}' "/proc/$pid/status" | xargs)" \
            "$(awk '/^Groups/ {$1 = ""; print}' "/proc/$pid/status" | xargs -n 1 | sort -n | xargs)"
    done
    stat -c '%n %a %u:%g' /var/lib/{one,two,three,four,five}{,/uid} /run/{one,two,three,four,five}{,/file}
    ps -eo user:20=,uid=,comm= | grep -vE ' (ps|bash|awk|grep|sort|sed)$' | sed 's/  */ /g' | sort -u
    su - alice -c 'systemctl is-active one; systemctl stop one 2>&1 | head -1; systemctl is-active one'
    systemctl restart one; systemctl is-active one; systemctl stop postgresql postgresql@15-main nginx ssh two; systemctl is-active two
    systemd-run -q --wait -P --uid=60001 --gid=61000 id; systemd-run -q --wait -P --uid=60001 -p StateDirectory=other stat -c '%n %u:%g' /var/lib/other
    journalctl -q -o cat -u one --no-pager | sort -u | grep uid=; systemctl is-system-running
}

"$@" 2>&1
