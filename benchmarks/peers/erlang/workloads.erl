%% The Erlang side of every work. `workloads:main([Work, Size])` prints one `key value` line a figure, and stops the VM.
%% `workloads:main([Work, Size, Node])` does the same with another node, and stops that one too.
-module(workloads).
-export([main/1, sink/3]).

main([Work, Size, Name]) ->
    Node = list_to_atom(Name),
    logger:set_primary_config(level, none),
    reach(Node, 500),
    Figures = far_work(Work, list_to_integer(Size), Node),
    [io:format("~s ~w~n", [Key, Value]) || {Key, Value} <- Figures],
    rpc:cast(Node, erlang, halt, []),
    timer:sleep(50),
    halt();
main([Work, Size]) ->
    %% Crash reports would time the terminal, not the restart; `restart_logged` turns them on again.
    logger:set_primary_config(level, none),
    Figures = work(Work, list_to_integer(Size)),
    [io:format("~s ~w~n", [Key, Value]) || {Key, Value} <- Figures],
    halt().

work("tell", Count) ->
    Main = self(),
    Sink = spawn(fun() -> sink(Count, 0, Main) end),
    Started = now_ns(),
    send(Sink, Count),
    Sum = Count * (Count + 1) div 2,
    receive {total, Sum} -> ok end,
    [{value, per_second(Count, Started)}];
work("tell_gen_server", Count) ->
    {ok, Bank} = bank:start(),
    Started = now_ns(),
    cast(Bank, Count),
    Sum = gen_server:call(Bank, balance, infinity),
    Sum = Count * (Count + 1) div 2,
    [{value, per_second(Count, Started)}];
work("ask", Count) ->
    {ok, Bank} = bank:start(),
    call(Bank, Count div 10),
    Started = now_ns(),
    call(Bank, Count),
    Rate = per_second(Count, Started),
    [{value, Rate}, {p50_us, median([timed_call(Bank) || _ <- lists:seq(1, Count)]) / 1000}];
work("ask_many", Count) ->
    {ok, Bank} = bank:start(),
    in_flight(Bank, 1000, 1000),
    Started = now_ns(),
    in_flight(Bank, 1000, Count),
    [{value, per_second(Count, Started)}];
work("ask_from_many", Count) ->
    %% The other way to have 1,000 asks in flight: 1,000 processes, each in a call of its own.
    {ok, Bank} = bank:start(),
    Each = Count div 1000,
    Started = now_ns(),
    Callers = [spawn_monitor(fun() -> call(Bank, Each) end) || _ <- lists:seq(1, 1000)],
    [receive {'DOWN', Monitor, process, _, normal} -> ok end || {_, Monitor} <- Callers],
    [{value, per_second(Count, Started)}];
work("spawn", Count) ->
    erlang:garbage_collect(),
    Memory = erlang:memory(total),
    Resident = resident_bytes(),
    Started = now_ns(),
    Pids = [begin {ok, Pid} = bank:start(), Pid end || _ <- lists:seq(1, Count)],
    Rate = per_second(Count, Started),
    erlang:garbage_collect(),
    Each = (erlang:memory(total) - Memory) / Count,
    ResidentEach = (resident_bytes() - Resident) / Count,
    Count = length(Pids),
    [{value, Rate}, {bytes_each, Each}, {resident_bytes_each, ResidentEach}, {resident_bytes, resident_bytes()}];
work("ring", Hops) ->
    Main = self(),
    First = spawn(fun() -> receive {next, Next} -> link_of_ring(Next, Main) end end),
    Last = lists:foldl(fun(_, Next) -> spawn(fun() -> link_of_ring(Next, Main) end) end, First, lists:seq(1, 99)),
    First ! {next, Last},
    Started = now_ns(),
    First ! {token, Hops},
    receive finished -> ok end,
    [{value, per_second(Hops, Started)}];
work("restart", Count) ->
    {ok, _} = stage:start_link(1000000),
    [crash_and_ask() || _ <- lists:seq(1, 100)],
    Times = [crash_and_ask() || _ <- lists:seq(1, Count)],
    [{value, median(Times) / 1000}];
work("restart_logged", Count) ->
    %% As it comes: reports formatted and written (the driver sends standard output of the logger to /dev/null).
    logger:remove_handler(default),
    ok = logger:add_handler(default, logger_std_h, #{config => #{file => "/dev/null"}}),
    logger:set_primary_config(level, notice),
    work("restart", Count);
work("fairness", Duration_ms) ->
    %% The lateness of a 1 ms timer while one process is flooded.
    Sink = spawn(fun drain/0),
    Flooder = spawn(fun() -> flood(Sink) end),
    Late = lateness(now_ns() + Duration_ms * 1000000, []),
    exit(Flooder, kill),
    [{value, percentile(Late, 0.99) / 1000000}, {p50_ms, median(Late) / 1000000}].

%% --- between two nodes ---

reach(Node, Left) when Left > 0 ->
    case net_adm:ping(Node) of
        pong -> ok;
        pang -> timer:sleep(20), reach(Node, Left - 1)
    end.

far_work("node_tell", Count, Node) ->
    far_send(Count div 10, Node),
    Started = now_ns(),
    far_send(Count, Node),
    [{value, per_second(Count, Started)}];
far_work("node_tell_gen_server", Count, Node) ->
    {ok, Bank} = rpc:call(Node, bank, start, []),
    Started = now_ns(),
    cast(Bank, Count),
    Sum = gen_server:call(Bank, balance, infinity),
    Sum = Count * (Count + 1) div 2,
    [{value, per_second(Count, Started)}];
far_work("node_ask", Count, Node) ->
    {ok, Bank} = rpc:call(Node, bank, start, []),
    call(Bank, 500),
    Times = [timed_call(Bank) || _ <- lists:seq(1, Count)],
    [{value, median(Times) / 1000}, {p99_us, percentile(Times, 0.99) / 1000}];
far_work("node_ask_many", Count, Node) ->
    {ok, Bank} = rpc:call(Node, bank, start, []),
    in_flight(Bank, 1000, 1000),
    Started = now_ns(),
    in_flight(Bank, 1000, Count),
    [{value, per_second(Count, Started)}].

far_send(Count, Node) ->
    Sink = spawn(Node, workloads, sink, [Count, 0, self()]),
    send(Sink, Count),
    Sum = Count * (Count + 1) div 2,
    receive {total, Sum} -> ok end.

%% --- one message at a time ---

send(_Sink, 0) -> ok;
send(Sink, Count) ->
    %% The number changes, so that each message is built and copied, as a message of ours is built.
    Sink ! {note, Count, <<"ada">>},
    send(Sink, Count - 1).

sink(0, Total, Main) -> Main ! {total, Total};
sink(Left, Total, Main) ->
    receive {note, Amount, _Text} -> sink(Left - 1, Total + Amount, Main) end.

cast(_Bank, 0) -> ok;
cast(Bank, Count) ->
    gen_server:cast(Bank, {note, Count, <<"ada">>}),
    cast(Bank, Count - 1).

call(_Bank, 0) -> ok;
call(Bank, Count) ->
    gen_server:call(Bank, {deposit, 1}),
    call(Bank, Count - 1).

timed_call(Bank) ->
    Started = now_ns(),
    gen_server:call(Bank, {deposit, 1}),
    now_ns() - Started.

in_flight(_Bank, _Width, Left) when Left =< 0 -> ok;
in_flight(Bank, Width, Left) ->
    Requests = [gen_server:send_request(Bank, {deposit, 1}) || _ <- lists:seq(1, Width)],
    [{reply, _} = gen_server:receive_response(Request, infinity) || Request <- Requests],
    in_flight(Bank, Width, Left - Width).

link_of_ring(Next, Main) ->
    receive
        {token, 0} -> Main ! finished;
        {token, Left} -> Next ! {token, Left - 1}, link_of_ring(Next, Main)
    end.

%% --- restart ---

crash_and_ask() ->
    Old = whereis(actor),
    Started = now_ns(),
    gen_server:cast(actor, crash),
    answer_of_other_than(Old),
    now_ns() - Started.

answer_of_other_than(Old) ->
    case whereis(actor) of
        undefined -> erlang:yield(), answer_of_other_than(Old);
        Old -> erlang:yield(), answer_of_other_than(Old);
        New ->
            try gen_server:call(New, balance) of 0 -> ok
            catch exit:_ -> answer_of_other_than(Old)
            end
    end.

%% --- fairness ---

drain() -> receive {note, _, _} -> drain() end.

flood(Sink) ->
    send(Sink, 1000),
    %% Nothing bounds a mailbox here, so the flooder itself waits while the sink is far behind.
    case erlang:process_info(Sink, message_queue_len) of
        {message_queue_len, Queued} when Queued > 100000 -> erlang:yield();
        _ -> ok
    end,
    flood(Sink).

lateness(Until, Late) ->
    Started = now_ns(),
    case Started >= Until of
        true -> Late;
        false ->
            receive after 1 -> ok end,
            lateness(Until, [now_ns() - Started - 1000000 | Late])
    end.

%% --- figures ---

now_ns() -> erlang:monotonic_time(nanosecond).

per_second(Count, Started) -> Count * 1.0e9 / (now_ns() - Started).

median(Values) -> percentile(Values, 0.5).

percentile(Values, Share) ->
    Sorted = lists:sort(Values),
    lists:nth(max(1, ceil(Share * length(Sorted))), Sorted).

resident_bytes() ->
    {ok, Line} = file:read_file("/proc/self/statm"),
    [_, Pages | _] = binary:split(Line, <<" ">>, [global]),
    binary_to_integer(Pages) * 4096.
