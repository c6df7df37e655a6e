# What a plan warns of: nothing that is wrong, but what is easily forgotten.

check "edits_are_followed" {
  assert {
    condition     = local.follows_edits
    error_message = "edits_topic is empty: no edits are followed. Nodes that proofreading makes have no row until somebody asks for them. Set it to the topic that the chunked graph publishes edits to."
  }
}
