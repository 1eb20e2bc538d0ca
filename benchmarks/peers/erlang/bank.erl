%% The gen_server that the workloads talk to: a counter that also echoes and crashes on request.
-module(bank).
-behaviour(gen_server).
-export([start/0, start_link/1, init/1, handle_call/3, handle_cast/2]).

start() -> gen_server:start(?MODULE, [], []).

start_link(Name) -> gen_server:start_link({local, Name}, ?MODULE, [], []).

init([]) -> {ok, 0}.

handle_call({deposit, Amount}, _From, Balance) -> {reply, Balance + Amount, Balance + Amount};
handle_call(balance, _From, Balance) -> {reply, Balance, Balance}.

handle_cast({note, Amount, _Text}, Balance) -> {noreply, Balance + Amount};
handle_cast(crash, _Balance) -> error(asked_to_crash).
