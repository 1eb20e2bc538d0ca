%% The supervisor above one bank, for the restart work: as many restarts as the work asks for.
-module(stage).
-behaviour(supervisor).
-export([start_link/1, init/1]).

start_link(Restarts) -> supervisor:start_link(?MODULE, Restarts).

init(Restarts) ->
    {ok, {#{strategy => one_for_one, intensity => Restarts, period => 1},
          [#{id => bank, start => {bank, start_link, [actor]}}]}}.
