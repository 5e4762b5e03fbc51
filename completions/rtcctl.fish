# Completion of rtcctl for fish, made by `rtcctl completion fish`.
# It is pure fish: TAB starts no other program. Ids and profiles come from plain files that rtcctl keeps.

# Prints the lines of a file in the state folder, with a suffix.
function __rtcctl_lines
    set -l state $RTCCTL_STATE_DIR
    if test -z "$state"
        if test -d "$HOME/Library/Application Support"
            set state "$HOME/Library/Application Support/rtcctl"
        else if test -n "$XDG_STATE_HOME"
            set state $XDG_STATE_HOME/rtcctl
        else
            set state $HOME/.local/state/rtcctl
        end
    end
    test -r $state/$argv[1]; or return
    while read -l line
        echo $line"$argv[2]"
    end <$state/$argv[1]
end

# Prints values: words, or those of a kind.
function __rtcctl_values
    switch $argv[1]
        case ids profiles
            __rtcctl_lines $argv[1]
        case tracks
            string match -q -- '*/*' (commandline -ct); or __rtcctl_lines ids /
        case files
            __fish_complete_path (commandline -ct)
        case '*'
            set -l words $argv[2..]
            test (count $words) -gt 0; and printf '%s\n' $words
    end
end

function __rtcctl
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l previous $words[-1]
    if string match -q -- '--*=*' $current
        # fish completes the word as a whole.
        set previous (string split -m 1 = -- $current)[1]
    end
    set -l path ''
    for word in $words[2..]
        switch "$path $word"
            case ' smoke' ' dev' ' fault' ' fault set' ' fault list' ' fault clear' ' fault ledger' ' session' ' session create' ' session get' ' session close' ' session list' ' track' ' track publish' ' track subscribe' ' track update' ' track list' ' track close' ' track wait' ' track diagnose' ' channel' ' channel open' ' channel send' ' channel listen' ' channel update' ' channel close' ' channel probe' ' app' ' app list' ' app create' ' app get' ' app update' ' app delete' ' turn' ' turn key' ' turn key list' ' turn key create' ' turn key get' ' turn key update' ' turn key delete' ' turn creds' ' turn check' ' turn list' ' turn revoke' ' turn refresh' ' stats' ' stats session' ' explain' ' api' ' config' ' config add' ' config use' ' config show' ' config check' ' config env' ' config path' ' config secret' ' config secret set' ' completion'
                set path "$path $word"
            case '*'
                break
        end
    end
    set -l values
    switch "$path $previous"
        case '* --for'
            set values none
        case '* --only'
            set values none api turn session publish subscribe relay content loss jitter rtt latency video simulcast data-channel cleanup
        case '* --skip'
            set values none api turn session publish subscribe relay content loss jitter rtt latency video simulcast data-channel cleanup
        case ' smoke --require'
            set values none api turn session publish subscribe relay content loss jitter rtt latency video simulcast data-channel cleanup
        case '* --attempts'
            set values none
        case '* --max-loss'
            set values none
        case '* --max-jitter'
            set values none
        case '* --max-rtt'
            set values none
        case '* --max-latency'
            set values none
        case '* --relay-via'
            set values none
        case '* --pcap'
            set values files
        case '* --impair'
            set values none
        case '* --impair-ledger'
            set values files
        case '* --profile' '* -p'
            set values profiles
        case '* --output' '* -o'
            set values none table json jsonl csv
        case '* --report'
            set values reports junit: json: markdown: prometheus:
        case '* --trace'
            set values files
        case '* --host'
            set values none
        case '* --port'
            set values none
        case '* --udp-port'
            set values none
        case '* --media-host'
            set values none
        case '* --announce'
            set values none
        case '* --apps'
            set values files
        case '* --fault'
            set values none
        case '* --ledger'
            set values files
        case '* --persist'
            set values files
        case '* --time-scale'
            set values none
        case '* --seed'
            set values none
        case '* --session'
            set values ids
        case '* --correlation-id'
            set values none
        case '* --recover-for'
            set values none
        case '* --name'
            set values none
        case '* --track'
            set values none
        case '* --tone'
            set values none
        case '* --video'
            set values none testsrc
        case ' track publish --file'
            set values none
        case '* --stdin'
            set values none ogg wav s16le ivf h264
        case '* --codec'
            set values none
        case '* --size'
            set values none
        case '* --fps'
            set values none
        case '* --bitrate'
            set values none
        case '* --rids'
            set values none
        case '* --interval'
            set values none
        case '* --wait'
            set values none
        case '* --play-on'
            set values none
        case '* --rid'
            set values none
        case '* --priority-ordering'
            set values none none asciibetical
        case '* --rid-not-available'
            set values none none asciibetical
        case '* --offered-by'
            set values none sfu client
        case '* --peer'
            set values none aiortc lean
        case '* --mid'
            set values none
        case '* --max-retransmits'
            set values none
        case '* --max-lifetime'
            set values none
        case '* --to'
            set values none
        case ' channel send --file'
            set values files
        case '* --every'
            set values none
        case '* --delay'
            set values none
        case '* --wait-hello'
            set values none
        case '* --hello'
            set values none
        case '* --reply'
            set values none
        case '* --count'
            set values none
        case '* --id'
            set values none
        case '* --policy'
            set values none chat game unordered lifetime
        case '* --rate'
            set values none
        case '* --secret-to'
            set values files
        case '* --ttl'
            set values none
        case ' turn creds --as'
            set values none ice-servers env coturn js
        case '* --custom-identifier'
            set values none
        case '* --ice-servers'
            set values files
        case ' turn check --require'
            set values files
        case '* --compare'
            set values files
        case ' turn refresh --as'
            set values none ice-servers env coturn js
        case ' explain --as'
            set values none request response sdp offer answer ice-servers
        case '* --input'
            set values files
        case '* --app-id'
            set values none
        case '* --api-base'
            set values none
        case '* --turn-key-id'
            set values none
        case '* --account-id'
            set values none
        case ' config env --as'
            set values none shell dotenv json
        case '* --names'
            set values none rtcctl examples meet
    end
    if set -q values[1]
        set -l found (__rtcctl_values $values)
        if string match -q -- '--*=*' $current
            test (count $found) -gt 0; and printf "$previous=%s\n" $found
        else
            test (count $found) -gt 0; and printf '%s\n' $found
        end
        return
    end
    switch $path
        case ''
            if string match -q -- '-*' $current
                printf '%s\n' '--version'\t'Print the version' '-V'\t'Print the version' '-h'\t'Show help' '--help'\t'Show help'
            else
                printf '%s\n' 'smoke'\t'Check the whole path: API, session, media, content, quality' 'dev'\t'Run an embedded Realtime server until interrupted' 'fault'\t'Faults in a running embedded server, and the ledger of what they did' 'session'\t'Create, read, close and list sessions' 'track'\t'Publish, subscribe, list, close, update, wait for and diagnose tracks' 'channel'\t'Publish, hear, probe, update and close data channels' 'app'\t'The apps of the account: list, create, get, update, delete' 'turn'\t'TURN: credentials, keys, and whether its servers relay' 'stats'\t'Figures of sessions and of running probes' 'explain'\t'What an error code, a response, a request or an SDP means, and what to do next' 'api'\t'Call any method of the API with the profile\'s credentials' 'config'\t'Profiles and secrets' 'completion'\t'Print the completion script of a shell'
            end
        case ' smoke'
            if string match -q -- '-*' $current
                printf '%s\n' '--for'\t'How long, for example 30s' '--embedded'\t'Start a server for this run, whatever is set' '--only'\t'Judge only these; repeatable, or a,b' '--skip'\t'Do not judge these' '--require'\t'Fail when these are skipped' '--attempts'\t'Whole runs, until one passes' '--max-loss'\t'Largest share that may be lost, as 2%' '--max-jitter'\t'Largest jitter allowed' '--max-rtt'\t'Longest round trip allowed' '--max-latency'\t'Limit on one-way latency; repeatable for p50, p95, p99' '--relay'\t'Send all media through TURN' '--relay-via'\t'Send it through such TURN servers alone; fail when it went another way' '--pcap'\t'Write the headers of RTP and RTCP packets, decrypted, for Wireshark' '--impair'\t'Do to this probe\'s packets what a bad network does: loss=5%, delay=40ms, jitter=10ms, reorder=1%, dup=0.1%, rate=2Mbps, seed=7, direction=up|down, separated by commas; once for each direction' '--impair-ledger'\t'Write what was done to which packet, as JSON lines' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' dev'
            if string match -q -- '-*' $current
                printf '%s\n' '--host'\t'Address to listen on' '--port'\t'HTTP port, 0 for any free one; by default 8610, with COMMAND another if that is taken' '--udp-port'\t'Media port; by default as --port' '--media-host'\t'Address for media, repeatable; on loopback also the one of the default route' '--announce'\t'Address by which browsers elsewhere reach this host; repeatable' '--apps'\t'TOML file of several apps, readable by you alone' '--fault'\t'As rtcctl fault set takes it; repeatable' '--ledger'\t'Write the ledger there at the end, as JSON' '--persist'\t'Keep apps and TURN keys in a file as that of --apps, made when missing' '--time-scale'\t'Multiply the timers of the service, not those of STUN, DTLS and RTCP' '--tls'\t'HTTPS, with a certificate that is made once, kept, and trusted by rtcctl' '--seed'\t'Make session ids and names of discovered tracks the same in each run' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' fault'
            if string match -q -- '-*' $current
                printf '%s\n' '-h'\t'Show help' '--help'\t'Show help'
            else
                printf '%s\n' 'set'\t'Add faults to the running server' 'list'\t'List the faults that are set, and how many requests or packets each has met' 'clear'\t'Remove faults: all, or those with these ids' 'ledger'\t'Show what was done to which packet, and what the API answered to whom'
            end
        case ' fault set'
            if string match -q -- '-*' $current
                printf '%s\n' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' fault list'
            if string match -q -- '-*' $current
                printf '%s\n' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' fault clear'
            if string match -q -- '-*' $current
                printf '%s\n' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' fault ledger'
            if string match -q -- '-*' $current
                printf '%s\n' '--session'\t'Of one session' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' session'
            if string match -q -- '-*' $current
                printf '%s\n' '-h'\t'Show help' '--help'\t'Show help'
            else
                printf '%s\n' 'create'\t'Create a session; with --connect, hold it until Ctrl-C or --for' 'get'\t'Show the tracks and data channels of a session' 'close'\t'Close everything a session holds; ends the probe that holds it, too' 'list'\t'List the sessions that this machine created'
            end
        case ' session create'
            if string match -q -- '-*' $current
                printf '%s\n' '--connect'\t'Connect a peer to it and hold it' '--for'\t'How long, for example 30s' '--correlation-id'\t'A label for diagnosis' '--relay'\t'Send all media through TURN' '--relay-via'\t'Send it through such TURN servers alone; fail when it went another way' '--pcap'\t'Write the headers of RTP and RTCP packets, decrypted, for Wireshark' '--recover-for'\t'How long to try for another connection when one is lost' '--no-recover'\t'End when a connection is lost, as for CI' '--impair'\t'Do to this probe\'s packets what a bad network does: loss=5%, delay=40ms, jitter=10ms, reorder=1%, dup=0.1%, rate=2Mbps, seed=7, direction=up|down, separated by commas; once for each direction' '--impair-ledger'\t'Write what was done to which packet, as JSON lines' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' session get'
            if string match -q -- '-*' $current
                printf '%s\n' '--watch'\t'Redraw every second until Ctrl-C' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            else
                __rtcctl_values ids
            end
        case ' session close'
            if string match -q -- '-*' $current
                printf '%s\n' '--yes'\t'Do not ask before ending something foreign' '-y'\t'Do not ask before ending something foreign' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            else
                __rtcctl_values ids
            end
        case ' session list'
            if string match -q -- '-*' $current
                printf '%s\n' '--all'\t'Closed ones too' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' track'
            if string match -q -- '-*' $current
                printf '%s\n' '-h'\t'Show help' '--help'\t'Show help'
            else
                printf '%s\n' 'publish'\t'Publish tracks until Ctrl-C, --for, or the end of the file' 'subscribe'\t'Subscribe to tracks and measure what arrives' 'update'\t'Change the layer of a live subscription' 'list'\t'List the tracks of a session' 'close'\t'Close tracks: SESSION/TRACK…, or SESSION --all' 'wait'\t'Wait until a track can be subscribed to' 'diagnose'\t'Say which side of a subscription failed, and why'
            end
        case ' track publish'
            if string match -q -- '-*' $current
                printf '%s\n' '--name'\t'Name of the track; sound and picture are called NAME-audio and NAME-video' '--track'\t'A track with its source, repeatable: mic=tone:440, cam=testsrc,size=640x360,fps=15, talk=file:a.ogg' '--tone'\t'Publish a tone; twice for left and right' '--video'\t'Publish a test picture that counts' '--file'\t'Publish the sound and picture of a file' '--loop'\t'Begin the file again at its end' '--screen'\t'Publish the screen' '--camera'\t'Publish the camera' '--stdin'\t'Publish what comes on stdin' '--codec'\t'opus, PCMU, PCMA; VP8, H264, VP9, AV1' '--size'\t'Of the picture' '--fps'\t'Pictures a second' '--bitrate'\t'Of the encoder, as 2Mbps' '--simulcast'\t'Send the picture in three layers: f, h, q' '--rids'\t'Send it in layers of these names, best first' '--for'\t'How long, for example 30s' '--interval'\t'How often figures are reported while it runs, at least 100ms' '--relay'\t'Send all media through TURN' '--relay-via'\t'Send it through such TURN servers alone; fail when it went another way' '--pcap'\t'Write the headers of RTP and RTCP packets, decrypted, for Wireshark' '--recover-for'\t'How long to try for another connection when one is lost' '--no-recover'\t'End when a connection is lost, as for CI' '--detach'\t'Return once media flows; `session close` ends it' '--impair'\t'Do to this probe\'s packets what a bad network does: loss=5%, delay=40ms, jitter=10ms, reorder=1%, dup=0.1%, rate=2Mbps, seed=7, direction=up|down, separated by commas; once for each direction' '--impair-ledger'\t'Write what was done to which packet, as JSON lines' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            else
                __rtcctl_values ids
            end
        case ' track subscribe'
            if string match -q -- '-*' $current
                printf '%s\n' '--for'\t'How long, for example 30s' '--wait'\t'How long to wait until it is there' '--max-loss'\t'Largest share that may be lost, as 2%' '--verify'\t'Decode, and judge the tone that is heard and the picture that is seen' '--tone'\t'The tone that --verify expects; without it, any' '--play'\t'Play the sound on this machine\'s sound device' '--play-on'\t'Play it on this one' '--rid'\t'Layer of a simulcast to prefer' '--priority-ordering'\t'asciibetical: the SFU may take a later layer (a is best, z is worst) when bandwidth is short' '--rid-not-available'\t'asciibetical: the SFU may take the next layer when the preferred one is not sent' '--offered-by'\t'Who offers: the SFU, or we, from a pool of m-sections' '--peer'\t'Which peer measures: aiortc, the independent one, or lean, the cheap one' '--interval'\t'How often figures are reported while it runs, at least 100ms' '--relay'\t'Send all media through TURN' '--relay-via'\t'Send it through such TURN servers alone; fail when it went another way' '--pcap'\t'Write the headers of RTP and RTCP packets, decrypted, for Wireshark' '--recover-for'\t'How long to try for another connection when one is lost' '--no-recover'\t'End when a connection is lost, as for CI' '--impair'\t'Do to this probe\'s packets what a bad network does: loss=5%, delay=40ms, jitter=10ms, reorder=1%, dup=0.1%, rate=2Mbps, seed=7, direction=up|down, separated by commas; once for each direction' '--impair-ledger'\t'Write what was done to which packet, as JSON lines' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            else
                __rtcctl_values tracks
            end
        case ' track update'
            if string match -q -- '-*' $current
                printf '%s\n' '--mid'\t'M-section of the subscription in SESSION' '--rid'\t'Layer of a simulcast to prefer' '--priority-ordering'\t'asciibetical: the SFU may take a later layer (a is best, z is worst) when bandwidth is short' '--rid-not-available'\t'asciibetical: the SFU may take the next layer when the preferred one is not sent' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            else
                __rtcctl_values ids
            end
        case ' track list'
            if string match -q -- '-*' $current
                printf '%s\n' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            else
                __rtcctl_values ids
            end
        case ' track close'
            if string match -q -- '-*' $current
                printf '%s\n' '--all'\t'All tracks of SESSION' '--yes'\t'Do not ask before ending something foreign' '-y'\t'Do not ask before ending something foreign' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            else
                __rtcctl_values tracks
            end
        case ' track wait'
            if string match -q -- '-*' $current
                printf '%s\n' '--wait'\t'How long to wait until it is there' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            else
                __rtcctl_values tracks
            end
        case ' track diagnose'
            if string match -q -- '-*' $current
                printf '%s\n' '--read-only'\t'Ask the subscriber\'s session for nothing: only read it' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            else
                __rtcctl_values ids
            end
        case ' channel'
            if string match -q -- '-*' $current
                printf '%s\n' '-h'\t'Show help' '--help'\t'Show help'
            else
                printf '%s\n' 'open'\t'Publish data channels and hold them until Ctrl-C or --for' 'send'\t'Send texts, lines or files over a data channel' 'listen'\t'Print what comes over data channels; the publisher\'s delivery policy has to be repeated' 'update'\t'Change whether a live subscription may reply' 'close'\t'Close data channels: SESSION/NAME…, or SESSION --id N' 'probe'\t'Measure latency, loss, order and the largest message of each delivery policy'
            end
        case ' channel open'
            if string match -q -- '-*' $current
                printf '%s\n' '--name'\t'Name of the data channel; repeatable' '--ordered'\t'Whether messages arrive in their order' '--unordered'\t'Whether messages arrive in their order' '--max-retransmits'\t'Send a lost message again so often and no more; 0 is fire and forget' '--max-lifetime'\t'Send a lost message again for so long and no longer' '--for'\t'How long, for example 30s' '--detach'\t'Return once they are open; `session close` ends it' '--recover-for'\t'How long to try for another connection when one is lost' '--no-recover'\t'End when a connection is lost, as for CI' '--impair'\t'Do to this probe\'s packets what a bad network does: loss=5%, delay=40ms, jitter=10ms, reorder=1%, dup=0.1%, rate=2Mbps, seed=7, direction=up|down, separated by commas; once for each direction' '--impair-ledger'\t'Write what was done to which packet, as JSON lines' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' channel send'
            if string match -q -- '-*' $current
                printf '%s\n' '--name'\t'Publish a data channel of this name, and send to its subscribers' '--to'\t'Send to the publisher of this one; whoever had the right to reply loses it' '--stdin'\t'Send each line of standard input' '--file'\t'Send the bytes of a file as one message; repeatable' '--every'\t'Pause between two messages' '--delay'\t'Pause before the first one: time for subscribers to come' '--wait-hello'\t'Begin once a subscriber that may reply has said something; at most so long' '--ordered'\t'Whether messages arrive in their order' '--unordered'\t'Whether messages arrive in their order' '--max-retransmits'\t'Send a lost message again so often and no more; 0 is fire and forget' '--max-lifetime'\t'Send a lost message again for so long and no longer' '--wait'\t'How long to wait until it is there' '--recover-for'\t'How long to try for another connection when one is lost' '--no-recover'\t'End when a connection is lost, as for CI' '--impair'\t'Do to this probe\'s packets what a bad network does: loss=5%, delay=40ms, jitter=10ms, reorder=1%, dup=0.1%, rate=2Mbps, seed=7, direction=up|down, separated by commas; once for each direction' '--impair-ledger'\t'Write what was done to which packet, as JSON lines' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' channel listen'
            if string match -q -- '-*' $current
                printf '%s\n' '--ordered'\t'Whether messages arrive in their order' '--unordered'\t'Whether messages arrive in their order' '--max-retransmits'\t'Send a lost message again so often and no more; 0 is fire and forget' '--max-lifetime'\t'Send a lost message again for so long and no longer' '--wait-for-ack'\t'Have the SFU deliver nothing before the channel is open here' '--can-reply'\t'Have the right to reply, which whoever had it loses' '--hello'\t'Say this to the publisher once, as soon as it can hear' '--reply'\t'Say this to the publisher for each message' '--for'\t'How long, for example 30s' '--count'\t'End after N messages; fewer fail' '--raw'\t'Print the bytes of messages and nothing else; a line end after texts' '--wait'\t'How long to wait until it is there' '--recover-for'\t'How long to try for another connection when one is lost' '--no-recover'\t'End when a connection is lost, as for CI' '--impair'\t'Do to this probe\'s packets what a bad network does: loss=5%, delay=40ms, jitter=10ms, reorder=1%, dup=0.1%, rate=2Mbps, seed=7, direction=up|down, separated by commas; once for each direction' '--impair-ledger'\t'Write what was done to which packet, as JSON lines' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            else
                __rtcctl_values tracks
            end
        case ' channel update'
            if string match -q -- '-*' $current
                printf '%s\n' '--id'\t'Id of the subscription in SESSION' '--can-reply'\t'Give it the right to reply, which whoever had it loses; or take it away' '--no-can-reply'\t'Give it the right to reply, which whoever had it loses; or take it away' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            else
                __rtcctl_values ids
            end
        case ' channel close'
            if string match -q -- '-*' $current
                printf '%s\n' '--id'\t'Id of a channel of SESSION; repeatable' '--yes'\t'Do not ask before ending something foreign' '-y'\t'Do not ask before ending something foreign' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            else
                __rtcctl_values tracks
            end
        case ' channel probe'
            if string match -q -- '-*' $current
                printf '%s\n' '--policy'\t'Delivery policy to measure; repeatable' '--rate'\t'Messages a second' '--size'\t'Of each message, as 100B or 4KiB' '--for'\t'How long, for example 30s' '--max-loss'\t'Largest share that may be lost, as 2%' '--max-latency'\t'Limit on one-way latency; repeatable for p50, p95, p99' '--impair'\t'Do to this probe\'s packets what a bad network does: loss=5%, delay=40ms, jitter=10ms, reorder=1%, dup=0.1%, rate=2Mbps, seed=7, direction=up|down, separated by commas; once for each direction' '--impair-ledger'\t'Write what was done to which packet, as JSON lines' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' app'
            if string match -q -- '-*' $current
                printf '%s\n' '-h'\t'Show help' '--help'\t'Show help'
            else
                printf '%s\n' 'list'\t'List the apps of the account' 'create'\t'Make an app' 'get'\t'Show an app, without its secret' 'update'\t'Give an app another name' 'delete'\t'Delete an app; its sessions end'
            end
        case ' app list'
            if string match -q -- '-*' $current
                printf '%s\n' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' app create'
            if string match -q -- '-*' $current
                printf '%s\n' '--secret-to'\t'Store the secret instead of printing it: with the profile, or in a new file that only you can read' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' app get'
            if string match -q -- '-*' $current
                printf '%s\n' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' app update'
            if string match -q -- '-*' $current
                printf '%s\n' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' app delete'
            if string match -q -- '-*' $current
                printf '%s\n' '--yes'\t'Do not ask before ending something foreign' '-y'\t'Do not ask before ending something foreign' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' turn'
            if string match -q -- '-*' $current
                printf '%s\n' '-h'\t'Show help' '--help'\t'Show help'
            else
                printf '%s\n' 'key'\t'The TURN keys of the account: list, create, get, update, delete' 'creds'\t'Make short-lived credentials from the profile\'s TURN key' 'check'\t'Check every URL as a client uses it: name, connection, certificate, allocation, traffic' 'list'\t'List the live credentials that this machine issued' 'revoke'\t'End credentials before their time: by user name, or all of --custom-identifier' 'refresh'\t'Keep a file of valid credentials, until interrupted'
            end
        case ' turn key'
            if string match -q -- '-*' $current
                printf '%s\n' '-h'\t'Show help' '--help'\t'Show help'
            else
                printf '%s\n' 'list'\t'List the TURN keys of the account' 'create'\t'Make a TURN key' 'get'\t'Show a TURN key, without its secret' 'update'\t'Give a TURN key another name' 'delete'\t'Delete a TURN key; its credentials end'
            end
        case ' turn key list'
            if string match -q -- '-*' $current
                printf '%s\n' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' turn key create'
            if string match -q -- '-*' $current
                printf '%s\n' '--secret-to'\t'Store the secret instead of printing it: with the profile, or in a new file that only you can read' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' turn key get'
            if string match -q -- '-*' $current
                printf '%s\n' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' turn key update'
            if string match -q -- '-*' $current
                printf '%s\n' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' turn key delete'
            if string match -q -- '-*' $current
                printf '%s\n' '--yes'\t'Do not ask before ending something foreign' '-y'\t'Do not ask before ending something foreign' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' turn creds'
            if string match -q -- '-*' $current
                printf '%s\n' '--ttl'\t'How long they are valid' '--as'\t'A shape to paste, in place of the table' '--custom-identifier'\t'A label of credentials, for analytics and to revoke them by' '--keep-port-53'\t'Keep URLs that browsers block' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' turn check'
            if string match -q -- '-*' $current
                printf '%s\n' '--ice-servers'\t'Check these servers, of any vendor (JSON; - is stdin), in place of the profile\'s' '--for'\t'How long, for example 30s' '--rate'\t'Packets through each relay' '--require'\t'all (but port 53), any, udp, tcp, tls or tls:443; repeatable, or a,b; by default all' '--max-loss'\t'Largest share that may be lost, as 2%' '--insecure'\t'Trust any certificate, and go on' '--compare'\t'Show what --output json said before beside it' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' turn list'
            if string match -q -- '-*' $current
                printf '%s\n' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' turn revoke'
            if string match -q -- '-*' $current
                printf '%s\n' '--custom-identifier'\t'A label of credentials, for analytics and to revoke them by' '--verify'\t'Allocate until the server refuses; needs --ice-servers' '--ice-servers'\t'The credentials with their passwords, as `turn creds` printed them, or - for stdin' '--yes'\t'Do not ask before ending something foreign' '-y'\t'Do not ask before ending something foreign' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' turn refresh'
            if string match -q -- '-*' $current
                printf '%s\n' '--ttl'\t'How long they are valid' '--as'\t'What is written' '--custom-identifier'\t'A label of credentials, for analytics and to revoke them by' '--keep-port-53'\t'Keep URLs that browsers block' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            else
                __rtcctl_values files
            end
        case ' stats'
            if string match -q -- '-*' $current
                printf '%s\n' '-h'\t'Show help' '--help'\t'Show help'
            else
                printf '%s\n' 'session'\t'Show a session\'s tracks, and what the probes of this machine measure on it'
            end
        case ' stats session'
            if string match -q -- '-*' $current
                printf '%s\n' '--watch'\t'Redraw every second until Ctrl-C' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            else
                __rtcctl_values ids
            end
        case ' explain'
            if string match -q -- '-*' $current
                printf '%s\n' '--as'\t'What the text is, where it does not tell itself' '--to'\t'The request whose body it is, as \'PUT tracks/close\'' '--lenient'\t'Exit 3 for what is refused alone, not for what is accepted and odd' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            else
                __rtcctl_values files
            end
        case ' api'
            if string match -q -- '-*' $current
                printf '%s\n' '--input'\t'JSON body from a file, or - for stdin' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            else
                __rtcctl_values none GET POST PUT
            end
        case ' config'
            if string match -q -- '-*' $current
                printf '%s\n' '-h'\t'Show help' '--help'\t'Show help'
            else
                printf '%s\n' 'add'\t'Add a profile: ask for its secrets, verify them against the API, store them' 'use'\t'Choose the profile to use where neither flag nor environment says' 'show'\t'Show the profile in use, and the ones there are' 'check'\t'Try each secret of the profile: accepted, and for what?' 'env'\t'Print the profile as environment variables, to eval or to paste' 'path'\t'Show the files and folders that are read and written' 'secret'\t'Secrets of profiles'
            end
        case ' config add'
            if string match -q -- '-*' $current
                printf '%s\n' '--from-env'\t'Take everything from the environment' '--app-id'\t'App ID; asked for without it' '--api-base'\t'API base; Cloudflare\'s without it' '--turn-key-id'\t'Id of a TURN key' '--account-id'\t'Account ID' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' config use'
            if string match -q -- '-*' $current
                printf '%s\n' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' config show'
            if string match -q -- '-*' $current
                printf '%s\n' '--origin'\t'Where each value comes from' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' config check'
            if string match -q -- '-*' $current
                printf '%s\n' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' config env'
            if string match -q -- '-*' $current
                printf '%s\n' '--as'\t'Lines to eval, lines of .env and .dev.vars, or JSON' '--names'\t'Whose: rtcctl\'s, the official examples\', orange/meet\'s' '--with-secrets'\t'Print the secrets too' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' config path'
            if string match -q -- '-*' $current
                printf '%s\n' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            end
        case ' config secret'
            if string match -q -- '-*' $current
                printf '%s\n' '-h'\t'Show help' '--help'\t'Show help'
            else
                printf '%s\n' 'set'\t'Store a secret of a profile in the keyring, or in a file that only you can read'
            end
        case ' config secret set'
            if string match -q -- '-*' $current
                printf '%s\n' '--stdin'\t'Read the secret from standard input' '--profile'\t'Profile to use' '-p'\t'Profile to use' '--output'\t'Format of what is written to stdout' '-o'\t'Format of what is written to stdout' '--report'\t'Also write a junit, json, markdown or prometheus report; repeatable' '--curl'\t'Print the API calls as curl commands instead of making them' '--trace'\t'Write what is said and heard into a folder, without secrets, to be passed on' '--verbose'\t'Say more on stderr; repeatable' '-v'\t'Say more on stderr; repeatable' '--no-color'\t'No colours (or set NO_COLOR)' '-h'\t'Show help' '--help'\t'Show help'
            else
                __rtcctl_values none app turn account
            end
        case ' completion'
            if string match -q -- '-*' $current
                printf '%s\n' '-h'\t'Show help' '--help'\t'Show help'
            else
                __rtcctl_values none bash zsh fish
            end
    end
end

complete -c rtcctl -f -k -a '(__rtcctl)'
