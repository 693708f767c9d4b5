//! A package is deployed as it is, by SAM and from a bucket, and a mistake leaves nothing half-deployed.

use integration_tests::ministack::{self, MiniStack, REGION};
use integration_tests::package::hosting::{self, Place};
use integration_tests::package::{Architecture, Binaries, Package, sums};
use integration_tests::partner::Partner;
use integration_tests::stack::{Stack, parameters_for};

use crate::receipt;

async fn keys(aws: &MiniStack, bucket: &str) -> Vec<String> {
    let listed = aws.s3().list_objects_v2().bucket(bucket).send().await.unwrap();
    listed.contents.unwrap_or_default().into_iter().filter_map(|object| object.key).collect()
}

/// The names of the state machines.
async fn machines(aws: &MiniStack) -> Vec<String> {
    let listed = aws.sfn().list_state_machines().into_paginator().items().send();
    let listed: Vec<_> = listed.collect::<Result<_, _>>().await.unwrap();
    listed.into_iter().map(|machine| machine.name).collect()
}

#[tokio::test]
async fn a_package_is_deployed_as_it_is_and_the_one_for_the_other_processor_is_refused() {
    let aws = ministack::shared().await;
    let folder = tempfile::tempdir().unwrap();
    let package = Package::from_this_build(folder.path()).await.unwrap();
    let partner = Partner::start().await.unwrap();

    let [other] =
        Architecture::ALL.into_iter().filter(|it| *it != package.architecture).collect::<Vec<_>>()[..]
    else {
        panic!("two processors")
    };
    let wrong = [("Architecture", other.name())];
    let parameters = parameters_for(aws, "package", &partner).await.unwrap();
    let parameters: Vec<_> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let wrong = [&parameters, &wrong[..]].concat();
    let refused = Stack::deploy_template(aws, "package-wrong", &package.template(), &wrong).await;
    let refused = format!("{:#}", refused.unwrap_err());
    assert!(refused.contains("Architecture") && refused.contains(other.name()), "{refused}");
    assert!(!machines(aws).await.contains(&"package-wrong".to_owned()));

    let stack = Stack::deploy_template(aws, "package", &package.template(), &parameters).await.unwrap();
    assert!(machines(aws).await.contains(&"package".to_owned()));
    let delivered = stack.deliver("a/report.csv", b"from a package".to_vec()).await.unwrap();
    assert_eq!(receipt(&delivered)["outcome"], "delivered");
    assert_eq!(std::fs::read(partner.root.join("a/report.csv")).unwrap(), b"from a package");

    // The same stack is updated from a bucket, as from the Launch Stack link.
    let (s3, bucket) = (aws.s3(), "package-update");
    s3.create_bucket().bucket(bucket).send().await.unwrap();
    let place = Place { bucket: bucket.into(), prefix: String::new(), region: REGION.into() };
    let hosted = hosting::upload(&s3, &package, &place).await.unwrap();
    let template = s3.get_object().bucket(bucket).key(&hosted.template_key).send().await.unwrap();
    let file = folder.path().join("hosted.yaml");
    std::fs::write(&file, template.body.collect().await.unwrap().into_bytes()).unwrap();
    let stack = Stack::deploy_template(aws, "package", &file, &parameters).await.unwrap();
    let delivered = stack.deliver("b/report.csv", b"from a bucket".to_vec()).await.unwrap();
    assert_eq!(receipt(&delivered)["outcome"], "delivered");
    assert_eq!(std::fs::read(partner.root.join("b/report.csv")).unwrap(), b"from a bucket");
}

#[tokio::test]
async fn a_package_in_a_bucket_is_never_overwritten_and_a_mistake_uploads_nothing() {
    let aws = ministack::shared().await;
    let s3 = aws.s3();
    let folder = tempfile::tempdir().unwrap();
    let architecture = Architecture::of_this_machine();
    let programs = Binaries::pretended(&folder.path().join("programs"), architecture).unwrap();
    let package = Package::assemble(&programs, "1.2.3", architecture, folder.path()).unwrap();

    let missing = hosting::region_of(&s3, "package-no-bucket").await.unwrap_err().to_string();
    assert!(missing.contains("\"package-no-bucket\" does not exist; create it first"), "{missing}");
    let bucket = "package-bucket";
    s3.create_bucket().bucket(bucket).send().await.unwrap();
    let region = hosting::region_of(&s3, bucket).await.unwrap();
    assert_eq!(region, REGION);

    let place = Place { bucket: bucket.into(), prefix: "bridge/".into(), region };
    let zip = package.folder.join("transfer.zip");
    let whole = std::fs::read(&zip).unwrap();
    std::fs::write(&zip, &whole[1..]).unwrap();
    let refused = hosting::upload(&s3, &package, &place).await.unwrap_err().to_string();
    assert!(refused.contains("transfer.zip was changed"), "{refused}");
    assert_eq!(keys(aws, bucket).await, Vec::<String>::new(), "nothing is uploaded");
    std::fs::write(&zip, whole).unwrap();

    let first = hosting::upload(&s3, &package, &place).await.unwrap();
    assert_eq!((first.written.len(), first.kept.len()), (12, 0));
    let sum = &sums::of(&zip).unwrap()[..16];
    let object_key = format!("bridge/1.2.3/{}/transfer-{sum}.zip", architecture.name());
    assert!(first.written.contains(&object_key), "{first:?}");
    let again = hosting::upload(&s3, &package, &place).await.unwrap();
    assert_eq!((again.written.len(), again.kept.len()), (0, 12));
    assert_eq!(again.launch_url, first.launch_url);
    s3.put_object().bucket(bucket).key(&object_key).body(b"others".to_vec().into()).send().await.unwrap();
    let refused = hosting::upload(&s3, &package, &place).await.unwrap_err().to_string();
    assert!(refused.contains("is there already with other contents; nothing was overwritten"), "{refused}");
    s3.delete_object().bucket(bucket).key(&object_key).send().await.unwrap();
    hosting::upload(&s3, &package, &place).await.unwrap();

    let key = &first.template_key;
    assert_eq!(first.template_url, format!("https://{bucket}.s3.{REGION}.amazonaws.com/{key}"));
    let encoded = first.template_url.replace(':', "%3A").replace('/', "%2F");
    let expected = format!(
        "https://{REGION}.console.aws.amazon.com/cloudformation/home?region={REGION}#/stacks/quickcreate?templateURL={encoded}"
    );
    assert_eq!(first.launch_url, expected);
}
