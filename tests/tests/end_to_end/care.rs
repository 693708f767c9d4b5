//! A partner that allows one connection, and a burst, on the local stack. It enforces no reserved concurrency that comes
//! from a template: what that does is played in the engine's test of story 84.

use integration_tests::fault_proxy::FaultProxy;
use integration_tests::ministack;
use integration_tests::partner::Partner;
use integration_tests::stack::Stack;

use crate::{burst, deployed, receipt};

#[tokio::test]
async fn story_84_one_function_serves_both_states() {
    let aws = ministack::shared().await;
    let partner = Partner::start().await.unwrap();
    let proxy = FaultProxy::start(partner.port).await.unwrap();
    let port = proxy.port.to_string();
    let more = [("MaxConnections", "1"), ("AfterDelivery", "tag"), ("SftpPort", port.as_str())];
    let stack = Stack::deploy_for(aws, "one-connection", &partner, &more).await.unwrap();
    for name in ["one.txt", "two.txt", "three.txt"] {
        let execution = stack.deliver(name, name.as_bytes().to_vec()).await.unwrap();
        let receipt = receipt(&execution);
        assert_eq!(receipt["outcome"], "delivered");
        // The role suffices for both.
        assert_eq!(receipt["after_delivery"], "tagged", "{receipt}");
        assert_eq!(std::fs::read(partner.root.join(name)).unwrap(), name.as_bytes());
    }
    let processes = |output: &str| aws.processes(&stack.outputs[output]).unwrap().len();
    assert_eq!((processes("TransferFunctionName"), processes("VerifyRemoteFunctionName")), (1, 0));
    // A login for each step, and a goodbye before the next one.
    assert_eq!((proxy.connections(), proxy.open_max()), (6, 1));
}

#[tokio::test]
async fn story_34_a_burst_of_200_objects_is_200_deliveries() {
    let (stack, partner, _) = deployed("burst-of-200", &[]).await;
    burst(&stack, &partner, 200).await;
    assert_eq!(stack.executions().await.unwrap().len(), 200);
}
