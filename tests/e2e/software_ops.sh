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
    find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /work \) -prune -o \
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
