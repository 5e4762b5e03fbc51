# Completion of rtcctl for bash, made by `rtcctl completion bash`.
# It is pure bash: TAB starts no other program. Ids and profiles come from plain files that rtcctl keeps.

# Offers those of its arguments that begin with what was typed.
__rtcctl_words() {
  local word
  for word in "$@"; do
    [[ $word == "$cur"* ]] && COMPREPLY+=("$word")
  done
}

# Offers the lines of a file in the state folder, with a suffix.
__rtcctl_lines() {
  local line
  local state=${RTCCTL_STATE_DIR:-}
  if [[ -z $state ]]; then
    case $OSTYPE in
      darwin*) state="$HOME/Library/Application Support/rtcctl" ;;
      *) state=${XDG_STATE_HOME:-$HOME/.local/state}/rtcctl ;;
    esac
  fi
  [[ -r $state/$1 ]] || return
  while IFS= read -r line; do
    [[ $line == "$cur"* ]] && COMPREPLY+=("$line$2")
  done < "$state/$1"
}

# Offers values: words first, then those of a kind.
__rtcctl_values() {
  local kind=$1
  shift
  __rtcctl_words "$@"
  case $kind in
    ids) __rtcctl_lines ids "" ;;
    profiles) __rtcctl_lines profiles "" ;;
    tracks)
      [[ $cur == */* ]] || __rtcctl_lines ids /
      compopt -o nospace 2>/dev/null
      ;;
    files) compopt -o default 2>/dev/null ;;
    reports) compopt -o nospace 2>/dev/null ;;
  esac
}

_rtcctl() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} path="" i=1
  COMPREPLY=()
  # Readline divides words at = and at : too.
  if [[ $cur == = ]]; then
    cur=""
  elif [[ $prev == = ]]; then
    prev=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  if [[ $cur == : || $prev == : ]]; then
    compopt -o default 2>/dev/null
    return
  fi
  while ((i < COMP_CWORD)); do
    case "$path ${COMP_WORDS[i]}" in
      ' smoke'|\
      ' dev'|\
      ' fault'|\
      ' fault set'|\
      ' fault list'|\
      ' fault clear'|\
      ' fault ledger'|\
      ' session'|\
      ' session create'|\
      ' session get'|\
      ' session close'|\
      ' session list'|\
      ' track'|\
      ' track publish'|\
      ' track subscribe'|\
      ' track update'|\
      ' track list'|\
      ' track close'|\
      ' track wait'|\
      ' track diagnose'|\
      ' channel'|\
      ' channel open'|\
      ' channel send'|\
      ' channel listen'|\
      ' channel update'|\
      ' channel close'|\
      ' channel probe'|\
      ' app'|\
      ' app list'|\
      ' app create'|\
      ' app get'|\
      ' app update'|\
      ' app delete'|\
      ' turn'|\
      ' turn key'|\
      ' turn key list'|\
      ' turn key create'|\
      ' turn key get'|\
      ' turn key update'|\
      ' turn key delete'|\
      ' turn creds'|\
      ' turn check'|\
      ' turn list'|\
      ' turn revoke'|\
      ' turn refresh'|\
      ' stats'|\
      ' stats session'|\
      ' explain'|\
      ' api'|\
      ' config'|\
      ' config add'|\
      ' config use'|\
      ' config show'|\
      ' config check'|\
      ' config env'|\
      ' config path'|\
      ' config secret'|\
      ' config secret set'|\
      ' completion') path="$path ${COMP_WORDS[i]}" ;;
      *) break ;;
    esac
    ((i++))
  done
  case "$path $prev" in
    *' --for') __rtcctl_values none; return ;;
    *' --only') __rtcctl_values none api turn session publish subscribe relay content loss jitter rtt latency video simulcast data-channel cleanup; return ;;
    *' --skip') __rtcctl_values none api turn session publish subscribe relay content loss jitter rtt latency video simulcast data-channel cleanup; return ;;
    ' smoke --require') __rtcctl_values none api turn session publish subscribe relay content loss jitter rtt latency video simulcast data-channel cleanup; return ;;
    *' --attempts') __rtcctl_values none; return ;;
    *' --max-loss') __rtcctl_values none; return ;;
    *' --max-jitter') __rtcctl_values none; return ;;
    *' --max-rtt') __rtcctl_values none; return ;;
    *' --max-latency') __rtcctl_values none; return ;;
    *' --relay-via') __rtcctl_values none; return ;;
    *' --pcap') __rtcctl_values files; return ;;
    *' --impair') __rtcctl_values none; return ;;
    *' --impair-ledger') __rtcctl_values files; return ;;
    *' --profile'|*' -p') __rtcctl_values profiles; return ;;
    *' --output'|*' -o') __rtcctl_values none table json jsonl csv; return ;;
    *' --report') __rtcctl_values reports junit: json: markdown: prometheus:; return ;;
    *' --trace') __rtcctl_values files; return ;;
    *' --host') __rtcctl_values none; return ;;
    *' --port') __rtcctl_values none; return ;;
    *' --udp-port') __rtcctl_values none; return ;;
    *' --media-host') __rtcctl_values none; return ;;
    *' --announce') __rtcctl_values none; return ;;
    *' --apps') __rtcctl_values files; return ;;
    *' --fault') __rtcctl_values none; return ;;
    *' --ledger') __rtcctl_values files; return ;;
    *' --persist') __rtcctl_values files; return ;;
    *' --time-scale') __rtcctl_values none; return ;;
    *' --seed') __rtcctl_values none; return ;;
    *' --session') __rtcctl_values ids; return ;;
    *' --correlation-id') __rtcctl_values none; return ;;
    *' --recover-for') __rtcctl_values none; return ;;
    *' --name') __rtcctl_values none; return ;;
    *' --track') __rtcctl_values none; return ;;
    *' --tone') __rtcctl_values none; return ;;
    *' --video') __rtcctl_values none testsrc; return ;;
    ' track publish --file') __rtcctl_values none; return ;;
    *' --stdin') __rtcctl_values none ogg wav s16le ivf h264; return ;;
    *' --codec') __rtcctl_values none; return ;;
    *' --size') __rtcctl_values none; return ;;
    *' --fps') __rtcctl_values none; return ;;
    *' --bitrate') __rtcctl_values none; return ;;
    *' --rids') __rtcctl_values none; return ;;
    *' --interval') __rtcctl_values none; return ;;
    *' --wait') __rtcctl_values none; return ;;
    *' --play-on') __rtcctl_values none; return ;;
    *' --rid') __rtcctl_values none; return ;;
    *' --priority-ordering') __rtcctl_values none none asciibetical; return ;;
    *' --rid-not-available') __rtcctl_values none none asciibetical; return ;;
    *' --offered-by') __rtcctl_values none sfu client; return ;;
    *' --peer') __rtcctl_values none aiortc lean; return ;;
    *' --mid') __rtcctl_values none; return ;;
    *' --max-retransmits') __rtcctl_values none; return ;;
    *' --max-lifetime') __rtcctl_values none; return ;;
    *' --to') __rtcctl_values none; return ;;
    ' channel send --file') __rtcctl_values files; return ;;
    *' --every') __rtcctl_values none; return ;;
    *' --delay') __rtcctl_values none; return ;;
    *' --wait-hello') __rtcctl_values none; return ;;
    *' --hello') __rtcctl_values none; return ;;
    *' --reply') __rtcctl_values none; return ;;
    *' --count') __rtcctl_values none; return ;;
    *' --id') __rtcctl_values none; return ;;
    *' --policy') __rtcctl_values none chat game unordered lifetime; return ;;
    *' --rate') __rtcctl_values none; return ;;
    *' --secret-to') __rtcctl_values files; return ;;
    *' --ttl') __rtcctl_values none; return ;;
    ' turn creds --as') __rtcctl_values none ice-servers env coturn js; return ;;
    *' --custom-identifier') __rtcctl_values none; return ;;
    *' --ice-servers') __rtcctl_values files; return ;;
    ' turn check --require') __rtcctl_values files; return ;;
    *' --compare') __rtcctl_values files; return ;;
    ' turn refresh --as') __rtcctl_values none ice-servers env coturn js; return ;;
    ' explain --as') __rtcctl_values none request response sdp offer answer ice-servers; return ;;
    *' --input') __rtcctl_values files; return ;;
    *' --app-id') __rtcctl_values none; return ;;
    *' --api-base') __rtcctl_values none; return ;;
    *' --turn-key-id') __rtcctl_values none; return ;;
    *' --account-id') __rtcctl_values none; return ;;
    ' config env --as') __rtcctl_values none shell dotenv json; return ;;
    *' --names') __rtcctl_values none rtcctl examples meet; return ;;
  esac
  case "$path" in
    '')
      if [[ $cur == -* ]]; then
        __rtcctl_words --version -V -h --help
      else
        __rtcctl_words smoke dev fault session track channel app turn stats explain api config completion
      fi
      ;;
    ' smoke')
      if [[ $cur == -* ]]; then
        __rtcctl_words --for --embedded --only --skip --require --attempts --max-loss --max-jitter --max-rtt --max-latency --relay --relay-via --pcap --impair --impair-ledger --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' dev')
      if [[ $cur == -* ]]; then
        __rtcctl_words --host --port --udp-port --media-host --announce --apps --fault --ledger --persist --time-scale --tls --seed --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' fault')
      if [[ $cur == -* ]]; then
        __rtcctl_words -h --help
      else
        __rtcctl_words set list clear ledger
      fi
      ;;
    ' fault set')
      if [[ $cur == -* ]]; then
        __rtcctl_words --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' fault list')
      if [[ $cur == -* ]]; then
        __rtcctl_words --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' fault clear')
      if [[ $cur == -* ]]; then
        __rtcctl_words --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' fault ledger')
      if [[ $cur == -* ]]; then
        __rtcctl_words --session --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' session')
      if [[ $cur == -* ]]; then
        __rtcctl_words -h --help
      else
        __rtcctl_words create get close list
      fi
      ;;
    ' session create')
      if [[ $cur == -* ]]; then
        __rtcctl_words --connect --for --correlation-id --relay --relay-via --pcap --recover-for --no-recover --impair --impair-ledger --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' session get')
      if [[ $cur == -* ]]; then
        __rtcctl_words --watch --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      else
        __rtcctl_values ids
      fi
      ;;
    ' session close')
      if [[ $cur == -* ]]; then
        __rtcctl_words --yes -y --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      else
        __rtcctl_values ids
      fi
      ;;
    ' session list')
      if [[ $cur == -* ]]; then
        __rtcctl_words --all --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' track')
      if [[ $cur == -* ]]; then
        __rtcctl_words -h --help
      else
        __rtcctl_words publish subscribe update list close wait diagnose
      fi
      ;;
    ' track publish')
      if [[ $cur == -* ]]; then
        __rtcctl_words --name --track --tone --video --file --loop --screen --camera --stdin --codec --size --fps --bitrate --simulcast --rids --for --interval --relay --relay-via --pcap --recover-for --no-recover --detach --impair --impair-ledger --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      else
        __rtcctl_values ids
      fi
      ;;
    ' track subscribe')
      if [[ $cur == -* ]]; then
        __rtcctl_words --for --wait --max-loss --verify --tone --play --play-on --rid --priority-ordering --rid-not-available --offered-by --peer --interval --relay --relay-via --pcap --recover-for --no-recover --impair --impair-ledger --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      else
        __rtcctl_values tracks
      fi
      ;;
    ' track update')
      if [[ $cur == -* ]]; then
        __rtcctl_words --mid --rid --priority-ordering --rid-not-available --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      else
        __rtcctl_values ids
      fi
      ;;
    ' track list')
      if [[ $cur == -* ]]; then
        __rtcctl_words --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      else
        __rtcctl_values ids
      fi
      ;;
    ' track close')
      if [[ $cur == -* ]]; then
        __rtcctl_words --all --yes -y --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      else
        __rtcctl_values tracks
      fi
      ;;
    ' track wait')
      if [[ $cur == -* ]]; then
        __rtcctl_words --wait --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      else
        __rtcctl_values tracks
      fi
      ;;
    ' track diagnose')
      if [[ $cur == -* ]]; then
        __rtcctl_words --read-only --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      else
        __rtcctl_values ids
      fi
      ;;
    ' channel')
      if [[ $cur == -* ]]; then
        __rtcctl_words -h --help
      else
        __rtcctl_words open send listen update close probe
      fi
      ;;
    ' channel open')
      if [[ $cur == -* ]]; then
        __rtcctl_words --name --ordered --unordered --max-retransmits --max-lifetime --for --detach --recover-for --no-recover --impair --impair-ledger --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' channel send')
      if [[ $cur == -* ]]; then
        __rtcctl_words --name --to --stdin --file --every --delay --wait-hello --ordered --unordered --max-retransmits --max-lifetime --wait --recover-for --no-recover --impair --impair-ledger --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' channel listen')
      if [[ $cur == -* ]]; then
        __rtcctl_words --ordered --unordered --max-retransmits --max-lifetime --wait-for-ack --can-reply --hello --reply --for --count --raw --wait --recover-for --no-recover --impair --impair-ledger --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      else
        __rtcctl_values tracks
      fi
      ;;
    ' channel update')
      if [[ $cur == -* ]]; then
        __rtcctl_words --id --can-reply --no-can-reply --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      else
        __rtcctl_values ids
      fi
      ;;
    ' channel close')
      if [[ $cur == -* ]]; then
        __rtcctl_words --id --yes -y --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      else
        __rtcctl_values tracks
      fi
      ;;
    ' channel probe')
      if [[ $cur == -* ]]; then
        __rtcctl_words --policy --rate --size --for --max-loss --max-latency --impair --impair-ledger --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' app')
      if [[ $cur == -* ]]; then
        __rtcctl_words -h --help
      else
        __rtcctl_words list create get update delete
      fi
      ;;
    ' app list')
      if [[ $cur == -* ]]; then
        __rtcctl_words --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' app create')
      if [[ $cur == -* ]]; then
        __rtcctl_words --secret-to --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' app get')
      if [[ $cur == -* ]]; then
        __rtcctl_words --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' app update')
      if [[ $cur == -* ]]; then
        __rtcctl_words --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' app delete')
      if [[ $cur == -* ]]; then
        __rtcctl_words --yes -y --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' turn')
      if [[ $cur == -* ]]; then
        __rtcctl_words -h --help
      else
        __rtcctl_words key creds check list revoke refresh
      fi
      ;;
    ' turn key')
      if [[ $cur == -* ]]; then
        __rtcctl_words -h --help
      else
        __rtcctl_words list create get update delete
      fi
      ;;
    ' turn key list')
      if [[ $cur == -* ]]; then
        __rtcctl_words --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' turn key create')
      if [[ $cur == -* ]]; then
        __rtcctl_words --secret-to --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' turn key get')
      if [[ $cur == -* ]]; then
        __rtcctl_words --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' turn key update')
      if [[ $cur == -* ]]; then
        __rtcctl_words --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' turn key delete')
      if [[ $cur == -* ]]; then
        __rtcctl_words --yes -y --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' turn creds')
      if [[ $cur == -* ]]; then
        __rtcctl_words --ttl --as --custom-identifier --keep-port-53 --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' turn check')
      if [[ $cur == -* ]]; then
        __rtcctl_words --ice-servers --for --rate --require --max-loss --insecure --compare --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' turn list')
      if [[ $cur == -* ]]; then
        __rtcctl_words --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' turn revoke')
      if [[ $cur == -* ]]; then
        __rtcctl_words --custom-identifier --verify --ice-servers --yes -y --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' turn refresh')
      if [[ $cur == -* ]]; then
        __rtcctl_words --ttl --as --custom-identifier --keep-port-53 --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      else
        __rtcctl_values files
      fi
      ;;
    ' stats')
      if [[ $cur == -* ]]; then
        __rtcctl_words -h --help
      else
        __rtcctl_words session
      fi
      ;;
    ' stats session')
      if [[ $cur == -* ]]; then
        __rtcctl_words --watch --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      else
        __rtcctl_values ids
      fi
      ;;
    ' explain')
      if [[ $cur == -* ]]; then
        __rtcctl_words --as --to --lenient --output -o --report --curl --trace --verbose -v --no-color -h --help
      else
        __rtcctl_values files
      fi
      ;;
    ' api')
      if [[ $cur == -* ]]; then
        __rtcctl_words --input --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      else
        __rtcctl_values none GET POST PUT
      fi
      ;;
    ' config')
      if [[ $cur == -* ]]; then
        __rtcctl_words -h --help
      else
        __rtcctl_words add use show check env path secret
      fi
      ;;
    ' config add')
      if [[ $cur == -* ]]; then
        __rtcctl_words --from-env --app-id --api-base --turn-key-id --account-id --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' config use')
      if [[ $cur == -* ]]; then
        __rtcctl_words --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' config show')
      if [[ $cur == -* ]]; then
        __rtcctl_words --origin --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' config check')
      if [[ $cur == -* ]]; then
        __rtcctl_words --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' config env')
      if [[ $cur == -* ]]; then
        __rtcctl_words --as --names --with-secrets --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' config path')
      if [[ $cur == -* ]]; then
        __rtcctl_words --output -o --report --curl --trace --verbose -v --no-color -h --help
      fi
      ;;
    ' config secret')
      if [[ $cur == -* ]]; then
        __rtcctl_words -h --help
      else
        __rtcctl_words set
      fi
      ;;
    ' config secret set')
      if [[ $cur == -* ]]; then
        __rtcctl_words --stdin --profile -p --output -o --report --curl --trace --verbose -v --no-color -h --help
      else
        __rtcctl_values none app turn account
      fi
      ;;
    ' completion')
      if [[ $cur == -* ]]; then
        __rtcctl_words -h --help
      else
        __rtcctl_values none bash zsh fish
      fi
      ;;
  esac
  return 0
}

complete -o nosort -F _rtcctl rtcctl 2>/dev/null || complete -F _rtcctl rtcctl
