"""Every request that the API takes, as a typed value; generated of OpenAPI by `./sluice accept`, never by hand.

    from contracts.calls import deals

    call = deals.move_deal(deal_id, {"stage_id": stage_id})  # a Call[DealRead]

What travels is the sender's own affair, synchronous or not: the dashboards', the command line's, the tests'. Each has
one function that sends a call and answers what the call is typed to answer. `schemas` has the bodies and answers.
"""
